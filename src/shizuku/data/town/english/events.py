"""English verb phrases for everything that can happen; the subject stands outside."""

TEXT = """
vp.purchase = purchase
  [~buy|~pick up|~choose|~take home] {good:n} {place:at}
  ~buy {good:n} {place:at}[ for {yen}| for {yen} in all]
  ~stop {place:at} and ~buy {good:n}
  ~go to {place} [to buy|for] {good:n}
  ~get {good:n} from {place}
  ~spend {yen} on {good:n} {place:at}
  ~pay {yen} for {good:n} {place:at}
  ~go into {place} and ~come out with {good:n}
  ~find {good:n} {place:at} and ~pay {yen}
  ~ask for {good:n} {place:at}
  ~hand over {yen} {place:at} [and ~take|and ~get] {good:n}
  ~need {good:n} and ~find what {who:he} was looking for {place:at}
vp.meet = meet
  [~meet|~see|~come across|~bump into|~greet] {whom:o} {place:at}
  ~meet {whom:o} by chance {place:at}
  ~talk [with|to] {whom:o} [for a while |for a long time |]{place:at}
  ~chat with {whom:o} {place:at}
  ~spend [some time|half an hour|a quiet hour|a few minutes] with {whom:o} {place:at}
  ~sit down with {whom:o} {place:at}
  ~wait for {whom:o} {place:at}
  ~have [a long talk|a short talk|a friendly talk] with {whom:o} {place:at}
  ~run into {whom:o} {place:at}
vp.gift = gift
  ~give {whom:o} {good}
  ~give {good} to {whom:o}
  ~bring {whom:o} {good}[| as a present| as a small gift| as a surprise]
  ~surprise {whom:o} with {good}
  ~hand {whom:o} {good}[| with a smile| wrapped in paper]
  ~have {good} for {whom:o}
  ~wrap up {good} and ~give it to {whom:o}
  ~take {good} to {whom:o}[| as thanks]
vp.lose = lose
  ~lose {who:his} {item:bare} {place:at}
  ~leave {who:his} {item:bare} behind {place:at}
  ~drop {who:his} {item:bare} [somewhere |]{place:at}
  ~notice that {who:his} {item:bare} was gone, probably left {place:at}
  ~forget {who:his} {item:bare} {place:at}
vp.find = find
  ~find {whom:s} [lost |missing |]{item:bare} {place:at}
  ~pick up {whom:s} [lost |missing |]{item:bare} {place:at}
  ~come across {whom:s} {item:bare} {place:at}
  ~spot {whom:s} {item:bare} {place:at}[| and ~keep it safe| and ~bring it back]
  ~bring back the {item:bare} that {whom} had lost {place:at}
  ~find the {item:bare} that {whom} had left {place:at}
vp.cook = cook
  [~cook|~make|~prepare] {dish}
  [~cook|~make|~prepare] {dish} [for the family|for a neighbour|at home|from scratch|for two]
  ~stand in the kitchen and ~make {dish}
  ~try a new recipe for {dish}
  ~cook a [big |small |warm |]serving of {dish}
  ~put {dish} on the table
vp.practise = practise
  {hobby:v} [for an hour|for half an hour|until it was time to stop|for a while|with great care|just for fun]
  {hobby:v}
  {hobby:v} as on many other days
  ~take some time for {who:self} and {hobby:v}
vp.tell = tell
  ~tell {whom:o} that <clause:news>
  ~let {whom:o} know that <clause:news>
  ~mention to {whom:o} that <clause:news>
  ~report to {whom:o} that <clause:news>
  ~give {whom:o} the news that <clause:news>
clause.self =
  {who:he} had <pp:self>
clause.that =
  {who} had <pp:self>
vp.read = read
  ~read [{book}|the book {book}] {place:at}
  ~read [a chapter|a few pages|some chapters|the last pages] of {book} {place:at}
  ~sit down {place:at} and ~read {book}
  ~open {book} {place:at} and ~read on and on
  ~finish [reading |]{book} {place:at}
  ~start [reading |]{book} {place:at}
  ~spend [an hour|some time] {place:at} with {book}
vp.repair = repair
  [~repair|~fix|~mend] [a neighbour's|a friend's|the broken] {thing:bare}
  ~get [out the tools|out a screwdriver] and [~repair|~fix|~mend] the {thing:bare}
  ~work on the {thing:bare} until it was [as good as new|in order again|fit for use]
  ~put the {thing:bare} [right|in order] again
vp.plant = plant
  ~plant [some |]{flower:pl} {spot}
  ~plant [some |]{flower:pl}
  ~dig a few holes {spot} and ~plant {flower:pl}
  ~dig a few holes and ~plant {flower:pl} {spot}
  ~put [some |]{flower:pl} into the ground {spot}
  ~choose a place {spot} for [some |]{flower:pl}
vp.see = see
  [~see|~spot|~notice|~watch|~count] {animal:n} {place:at}
  ~stop {place:at} to [watch|look at] {animal:n}
  ~be surprised to see {animal:n} {place:at}
  ~stand still to look at {animal:n} {place:at}
  ~take a picture of {animal:n} {place:at}
vp.work = work
  {task:v}
  {task:v}[ without a break| with a cheerful face| as usual| as on every working day]
  ~work hard and {task:v}
  ~get to work and {task:v}
vp.eat = eat
  [~eat|~have|~enjoy] {food} {place:at}
  ~sit [down |]{place:at} and [~eat|~enjoy] {food}
  ~unwrap {food} {place:at} and ~eat it [slowly|at once|to the last crumb|with pleasure]
  ~take a break {place:at} with {food}
  ~have {food} {place:at} [for a snack|to keep {who:him} going|without hurry]
vp.ill = ill
  ~stay at home with {illness}
  ~stay in bed [all day |]because of {illness}
  ~have {illness} and [~stay in bed|~rest at home|~keep to the house]
  ~rest at home because of {illness}
  ~wake up with {illness} and ~stay in bed
vp.help = help
  ~help {whom:o} to {chore:inf}
  ~help {whom:o} and {chore:v}
  ~go over to {whom:s} house to {chore:inf}
  ~come to {whom:s} aid and {chore:v}
  ~offer to {chore:inf} for {whom:o}
vp.invite = invite
  ~invite {whom:o} to {outing}
  ~ask {whom:o} to come along for {outing}
  ~make plans for {outing} with {whom:o}
  ~persuade {whom:o} to come along for {outing}
vp.win = win
  ~win {contest} {place:at}
  ~take first place in {contest} {place:at}
  ~come first in {contest} {place:at}
  ~win {contest} {place:at}[| to everyone's surprise| by a hair]
vp.walk = walk
  ~take {petname} for a walk {place:at}
  ~walk {petname} {place:at}
  ~go out with {petname} and ~run about {place:at}
  ~throw sticks for {petname} {place:at}
vp.travel = travel
  [~go|~travel] to {town2} by {vehicle}
  ~take the {vehicle} to {town2}
  ~make a trip to {town2} by {vehicle}
  ~ride to {town2} and back by {vehicle}
  ~visit {town2}, going there by {vehicle}
vp.make = make
  ~make {craft}
  ~make {craft} [out of scraps|at the kitchen table|by hand|as a present|for the fair]
  ~finish {craft} that {who:he} had begun some days earlier
  ~sit down and ~make {craft}
vp.visit = visit
  [~visit|~drop in at] {place}
  ~go to {place}[| to look around| for a change of air| alone| without any plan]
  ~walk [over |slowly |]to {place}
  ~take a walk to {place}
  ~spend [a while|some time|a quiet half hour] {place:at}
vp.write = write
  ~write {whom:o} a [letter|short letter|postcard|long letter]
  ~write a [letter|short letter|few lines|thank-you note|note] to {whom:o}
  ~send {whom:o} a [letter|card|note]
  ~sit down and ~write to {whom:o}
"""
