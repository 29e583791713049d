# ruff: noqa: E501 (tables and productions: a long entry is clearer on one line)
"""English story sentences: openings, events alone and in pairs, remarks, endings."""

TEXT = """
t.story
  {who:full} and [a|the] [{trait}|long|short|busy|quiet|strange|good] day
  [A|One] {sky} day in {town}
  What {who} did on {day}
  {who:s} [day|morning and evening|{sky} day]
  [From morning to evening|An ordinary day|Small things|Here and there] in {town}
  {day:long}
  [The day of|A day with|A page about|Following] {who:full}
  [Around {town}|Along {street}|On {street}] with {who:name}
s.story.weather = weather
  it was a {sky} {part:n} in {town}
  [the {part:n} of {day} was {sky} in {town}|on {day}, the {part:n} was {sky}]
  [on {day:long}|{day} came, and] {town} had a {sky} {part:n}
  the {part:n} was {sky}, with {degrees:deg} on the thermometer at the station
  it was {degrees:deg} and {sky} in {town} that {part:n}
  on {day:long}, the weather in {town} was {sky} {part:in}
  a {sky} {part:n} lay over [the roofs of {town}|{town}|the streets of {town}]
  [people in {town} woke to|{town} saw] a {sky} {part:n} on {day}
  that {part:n} was {sky}, and the thermometer by the town hall showed {degrees:deg}
  nobody in {town} was surprised that the {part:n} of {day:long} was {sky}
  the {sky} {part:n} began like many others in {town}
  [how {sky} it was that {part:n}!|what a {sky} {part:n} it was!]
s.story.person = person
  {who:full} [lived|was at home] on {street} and was {job}
  {who:full} was {job} and [lived|had always lived] on {street}
  on {street} lived {who:full}, {job}[| of {years} years]
  {who:full}, {job}, was a {trait} person
  everyone [on {street}|in {town}] knew {who:full} as a {trait} person
  {who:full} was {years} years old [that spring|then|at the time] and lived on {street} => person
  {who:full} was {job}, {trait} and fond of {favourite:stuff}
  [a {trait} person|someone {trait}] named {who:full} lived on {street}
  {who:full} was {trait}, [people said|as the neighbours put it|or so they said on {street}]
  in the house of the {family} family on {street}, {who:full} was [up early|already awake|ready for the day]
  {who:full} liked {colour} things and [was known to be|was] {trait}
  {who:full}, born in {birthyear}, was {job}
s.event
  {part:when}, {who} <past:1>
  {who} <past:1> {part:in}
  {part:in}, {who} <past:1>
  {part:when} {who} <past:1>
  {who} <past:1>, [and so the {part:n} passed|and that was the {part:n}|and then the {part:n} was over]
  when {part} came, {who} <past:1>
s.event.later
  [the day went on, and|time passed, and|one thing led to another, and] {part:in} {who} <past:1>
  then it was {part}, and {who} <past:1>
  as for the {part:n}, {who} <past:1>
  [later on|further on in the day|still not tired], {part:in}, {who} <past:1>
  the {part:n} brought [something new|other things|a change]: {who} <past:1>
  [the next thing was this|the {part:n} was for other things]: {who} <past:1>
  {part:in} {who} <past:1>, [quite another matter|for a change]
s.event.first
  {part:in}, {who:full} <past:1>
  {who:full} <past:1> {part:in}
  {part:when} {who:full} <past:1>
  on {day}, {who:full} <past:1>
  it was {part} when {who:full} <past:1>
  {who:full} began the day [well|slowly|in good spirits]: {who:he} <past:1>
  {who:full} <past:1>
s.event.same
  {who} <past:1>
  [then|after that|a little later|soon after|next|not long after|afterwards|besides|meanwhile|in the same hour], {who} <past:1>
  {who} also <past:1>
  [there was time left, and|nobody was waiting, and|the day was still long, and] {who} <past:1>
  {who} <past:1> as well
  and {who} <past:1>
  before the {part:n} was over, {who} <past:1>
  {who} had [one more|another] thing to do and <past:1>
  [on the way|in between|without much ado], {who} <past:1>
s.two
  {part:when}, {who} <past:1> and [then |later |]<past:2>
  {who} <past:1> and <past:2> {part:in}
  {part:in}, after <ing:1>, {who} <past:2>
  {part:in}, {who} <past:1> before <ing:2>
  {part:when} {who} <past:1>, and [then|afterwards|a little later|soon after] {who:he} <past:2>
  the {part:n} was [busy|full|not dull]: {who} <past:1> and <past:2>
  {part:in}, {who} first <past:1> and then <past:2>
  as soon as {who} had <pp:1> {part:in}, {who:he} <past:2>
  {who} did two things {part:in}: {who:he} <past:1> and <past:2>
  {part:when} {who} not only <past:1> but also <past:2>
  once {who} had <pp:1>, {who:he} <past:2>, all in one {part:n}
s.two.same
  {who} <past:1> and [then |later |]<past:2>
  after <ing:1>, {who} <past:2>
  {who} <past:1> before <ing:2>
  having <pp:1>, {who} <past:2>
  then {who} <past:1>, and [soon|a little later|after that] {who:he} <past:2>
  {who} <past:1>; [after that|later|then] {who:he} <past:2>
  when {who} had <pp:1>, {who:he} <past:2>
  once {who} had <pp:1>, {who:he} <past:2>
  {who} also <past:1> and <past:2>
s.story.turn = weather
  by {part}, it was {sky}[ and {degrees:deg}|]
  the {part:n} [was|turned out] {sky}
  the weather was now {sky} => weather
  the thermometer showed {degrees:deg} {part:in}
  outside it was {sky}[, as it often was in that season| and not a bit warmer than {degrees:deg}|]
  the {sky} {part:n} did not [bother|trouble] {who:o} => weather
  [people looked up|someone opened a window]: the {part:n} was {sky}
s.story.end
  at night, {who} [was tired but content|had much to think about|slept well] => person
  that was {who:s} day
  it had been [an ordinary day|a good day|a full day|a day like many others], {who} thought
  the evening was {sky}, and {who} went home [early|slowly|with light steps|along {street}] => weather(part=evening)
  at home on {street}, {who} [put the kettle on|wrote a few lines in a diary|fell asleep at once|told everyone about the day] => person
  {who} went to bed early, [for tomorrow would be a long day|still thinking of the day|pleased with how it had gone]
  before going to sleep, {who} [counted the good things of the day|looked out at the {sky} night|set the alarm clock]
  so ended {day} for {who:o}
  and when the lamps were lit on {street}, {who} was home again => person
  [nothing more happened|nothing else happened] that day, and {who} did not mind
  {who} ate {favourite}, which {who:he} liked more than anything, and called it a day => person
  all in all, {who} had no reason to complain
  [at supper|over supper|before bed], {who} said that it had been a [good|long|fine|lucky] day
  the evening air was {degrees:deg} when {who} closed the door => weather(part=evening)
s.more.purchase = purchase
  {good:pl} cost {unit} each [that day|just then|at the moment]
  that came to {yen}[ in all| altogether|]
  [the price was|it was] {unit} for one
  {who} paid {yen} [in coins|with a smile|and counted the change] => purchase
  [the shopkeeper|the woman at the counter|the assistant] wrapped everything carefully => purchase
  at {unit} each, that was [a fair price|not too much|neither cheap nor dear]
s.more.meet = meet
  {whom} [was in a hurry|was in good spirits|looked well|had news|wanted to know everything|laughed a lot] => meet
  they talked about the weather[| and about old times| and about nothing in particular] => meet
  [they had not seen each other for a week|it was good to see {whom:o} again] => meet
  {whom} and {who} [parted|said goodbye] [like old friends|in front of the door|after a while] => meet
s.more.gift = gift
  {whom} was [delighted|very pleased|surprised|touched][| with the {good:bare}]
  {whom} thanked {who:o} [twice|warmly|again and again]
  {whom} had [wanted|wished for] {good} for a long time
s.more.lose = lose
  {who} [searched everywhere|looked under every bench|asked at the desk], but the {item:bare} did not turn up
  [losing|the loss of] the {item:bare} was [annoying|a pity|bad luck]
  perhaps somebody would find the {item:bare} [soon|and bring it back]
s.more.find = find
  {whom} [would be glad|would be relieved|had been worried about it]
  {who} decided to bring the {item:bare} to {whom:o} [at once|that same day|in person]
  the {item:bare} was [a little dusty|wet|quite unharmed]
s.more.cook = cook
  [the smell|the scent] of {dish} filled the [house|kitchen|whole street]
  there was enough {dish} for everyone
  the {dish} [tasted good|turned out well|needed a little more salt]
s.more.practise = practise
  {who} was getting better at it [every week|little by little|all the time]
  time passed quickly that way
  it was what {who} liked to do most
s.more.read = read
  {book} was [hard to put down|funnier than expected|a little sad|full of surprises]
  {who} liked the [first|last] chapter of {book} best
  the story was [slow|lively|strange] but good
s.more.repair = repair
  the {thing:bare} had been broken [for weeks|since the winter|for a long time]
  after that, the {thing:bare} was [as good as new|safe to use again|better than before]
s.more.plant = plant
  with a little rain, the {flower:pl} would [grow well|take root|do well]
  the {flower:pl} would look pretty [in a few weeks|by the wall|from the window]
s.more.see = see
  the {animal:pl} did not [seem to mind|notice anyone|run away] => see
  [one does not see {animal:pl} every day|children love {animal:pl}|it was a pretty sight]
s.more.work = work
  the work [was hard|went well|took longer than planned|was soon done]
  there was a lot to do that day
  [nobody complained about|everyone was pleased with] the result
s.more.eat = eat
  the {food:bare} was [good|sweet|just right|delicious|soon gone]
  {who} could have eaten another one
s.more.ill = ill
  a cup of tea [helped a little|was all {who} wanted]
  {who} hoped to be well again [tomorrow|soon|by the end of the week]
s.more.help = help
  {whom} could not have done it alone
  {whom} [thanked {who:o}|was very grateful|poured them both some tea]
  together it was done [in no time|in an hour|before long]
s.more.invite = invite
  {whom} [said yes at once|promised to come|wanted to think about it|wrote the day in a notebook]
  {who} was [already |]looking forward to it
s.more.win = win
  everyone [clapped|cheered|shook {who:s} hand]
  {who} had practised for weeks
  the prize was [a small cup|a ribbon|a basket of fruit]
s.more.walk = walk
  {petname} [barked at a pigeon|ran ahead|wagged his tail all the way|did not want to go home]
  {petname} was tired and happy afterwards
s.more.travel = travel
  the way there was [short|longer than expected|full of pretty views|well known to {who:o}]
  {town2} was [livelier than expected|as pretty as ever|quiet at that hour]
s.more.make = make
  it took [longer than planned|a steady hand|two tries]
  it turned out [well|a little crooked|better than the last one]
s.more.visit = visit
  it was [quiet|rather crowded|cool and pleasant] there
  {who} often went there to think
s.more.write = write
  the [post office|postbox] was only a few steps away
  {whom} would be glad to hear from {who:o}
s.more.tell = tell
  {whom} had not [heard|known] that
  {whom} [listened carefully|laughed|shook {whom:his} head|nodded]
"""
