"""English dialogues: greetings, questions about facts, answers, remarks, farewells."""

TEXT = """
t.talk
  [A talk|A chat|Two voices|Overheard|A short conversation] {place:at}, {day}
  {who:name} and {whom:name} {place:at}
  {day:long}, {place:at}
  [{place:at}|On the way home|On {street}|At the corner|Over a cup of tea|While waiting|Between two errands]
s.talk.hello
  [good evening|good to see you again], {whom:name}
  [hello|good morning|good day|hi|good afternoon], {whom:name}
  [oh, |]{whom:name}, [how nice to see you|there you are|good to see you|just the person I wanted to see]!
s.talk.request
  {whom:name}, [may I ask you something|can I ask you a few things|do you have a minute]?
  [excuse me|sorry to trouble you], {whom:name}, [may I ask something|I have a question|I need your help]
  {whom:name}, [you know everyone here|you always know the news|you are the one to ask]
s.talk.hello2
  [hello|good morning|good day|hi], {whom:name}
  {whom:name}, what [brings you here|can I do for you]?
  [I am glad to see you|nice to meet you here|what a surprise], {whom:name}
s.talk.request2
  [of course|certainly|yes], what would you like to know?
  [go ahead|please ask|just ask], {whom:name}
  [with pleasure|gladly|by all means], if I can help
s.ask.buy
  what did {who} buy {place:at}?
  [do you know|can you tell me|do you remember] what {who} bought {place:at}?
  what did {who} get {place:at} [today|the other day|on {day}]?
  {who} was {place:at}, I think; what did {who:he} buy?
s.ask.cost
  how much did {who} pay for {good:n}?
  what did {who} pay for {good:n} {place:at}?
  do you know how much {who} spent on {good:n}?
  {who} bought {good:n}; how much did that cost?
s.ask.where
  where did {who} buy {good:n}?
  {who} had {good:n} [in a bag|under one arm]; where did {who:he} get that?
  in which shop did {who} buy {good:n}?
s.ask.met
  who did {who} meet {place:at}?
  [do you know|did you hear] who {who} met {place:at}?
  I saw {who} with someone {place:at}; who was it?
s.ask.lost
  what did {who} lose?
  {who} looks worried; what has {who:he} lost?
  is it true that {who} lost something {place:at}?
s.ask.won
  who won {contest}?
  do you know who came first in {contest}?
  did you hear the result of {contest}?
s.ask.read
  what did {who} read {place:at}?
  which book was {who} reading {place:at}?
  {who} sat {place:at} with a book; which one was it?
s.ask.trip
  where did {who} go by {vehicle}?
  I heard {who} took the {vehicle}; where to?
  which town did {who} visit?
s.ask.cooked
  what did {who} cook {part:in}?
  something smelled good at {who:s} house; what was it?
  do you know what {who} made in the kitchen {part:in}?
s.ask.gift
  what did {who} give {whom:o}?
  did {who} bring {whom:o} anything?
  {whom} got a present from {who:o}; what was in it?
s.ask.job
  what does {who} do for a living?
  what is {who:s} [job|work]?
  [do you know|can you tell me] what work {who} does?
s.ask.street
  where does {who} live?
  on which street does {who} live?
  do you know where {who:s} house is?
s.ask.hobby
  what does {who} like to do?
  what does {who} do in {who:his} free time?
  does {who} have a hobby?
s.ask.favourite
  what does {who} like to eat best?
  I want to bring {who:o} something to eat; what would {who:he} like?
  what is {who:s} favourite food?
s.ask.colour
  what is {who:s} favourite colour?
  which colour does {who} like best?
  I am knitting something for {who:o}; which colour shall I take?
s.ask.pet
  does {who} have a pet?
  what is {who:s} {pet:bare} called?
  {who} has {pet}; what is its name?
s.ask.partner
  who is {who} married to?
  do you know {who:s} partner?
  who is {who:s} [husband or wife|partner]?
s.ask.birthday
  when is {who:s} birthday?
  do you remember when {who} was born?
  on which day shall I send {who:o} a card?
s.ask.hours
  when does {place} open?
  what are the opening hours of {place}?
  until when is {place} open?
s.ask.closed
  on which day is {place} closed?
  is {place} open every day?
  when does {place} take a day off?
s.ask.place
  where is {place}?
  on which street is {place}?
  I am looking for {place}; where does it stand?
s.ask.owner
  who runs {place}?
  who is the owner of {place}?
  do you know who {place} belongs to?
s.ask.founded
  how old is {place}?
  when was {place} founded?
  since when has there been {place}?
s.ask.author
  who wrote {book}?
  do you know the author of {book}?
  {book} is a good book; who is it by?
s.ask.price
  how much are {good:pl} {place:at} today?
  what does {good} cost {place:at}?
  I need {good}; how much is that {place:at}?
s.ask.weather
  what was the weather like {part:in}?
  how warm was it {part:in}?
  was it nice outside {part:in}?
s.ask.near
  how do I get from {place2} to {place}?
  how far is {place} from {place2}?
  in which direction is {place} from {place2}?
s.ask.event
  what did {who} do {part:in}?
  [have you heard|do you know] what {who} did {part:in}?
  any news of {who:o}?
  and what did {who} do {part:in}?
s.answer.event
  {who} <past:1>
  {who} <past:1>[, I think|, I heard|, as far as I know|]
  [let me think|well|I heard that from a neighbour]: {who} <past:1>
  {part:in}, {who} <past:1>
s.answer.buy = purchase
  {who} bought {good:n}
  {good:n}, and {who:he} paid {yen}
  {who:he} bought {good:n} there[ for {yen}|]
  it was {good:n}
s.answer.cost = purchase
  {who:he} paid {yen}
  {yen}, because one costs {unit}
  that was {yen}[ in all| altogether|]
  {yen}
  it came to {yen}
s.answer.where = purchase
  {who:he} bought that {place:at}
  {place:at}[, for {yen}|]
  that was {place:at}
s.answer.met = meet
  {who:he} met {whom:o}
  it was {whom}
  that was {whom:full}
s.answer.lost = lose
  {who:he} lost {who:his} {item:bare} {place:at}
  {who:his} {item:bare}, {part:in}
  {who:he} left {who:his} {item:bare} there, it seems
s.answer.won = win
  {who:full} won it
  it was {who:full}[, {place:at}|]
  {who} came first
s.answer.read = read
  {who:he} was reading {book}
  it was {book}
  {book}, if I am not mistaken
s.answer.trip = travel
  {who:he} went to {town2}
  to {town2}[, by {vehicle}|]
  {who:he} took the {vehicle} to {town2}
s.answer.cooked = cook
  {who:he} made {dish}
  it was {dish}
  {dish}, and plenty of it
s.answer.gift = gift
  {who:he} gave {whom:o} {good}
  it was {good}
  {good}, I believe
s.answer.job = person
  {who:he} is {job}
  {who} is {job}[| and works {workplace:at}]
  {who:he} works {workplace:at}; {who:he} is {job}
s.answer.street = person
  {who:he} lives on {street}
  {who:s} house is on {street}
  on {street}, where the {family} family lives
s.answer.hobby = person
  {who:he} {hobby:third}
  {who} {hobby:third} whenever there is time
  {who:he} {hobby:third}, you know
s.answer.favourite = person
  {who:he} likes {favourite:pl}
  {favourite:pl}, I think
  {who} would be happy with {favourite}
s.answer.colour = person
  {colour}
  {who:he} likes {colour} best
  {colour} is the one {who:he} likes
s.answer.pet = pet
  {who:he} has {pet} called {petname}
  {who:he} has {pet}, and it is called {petname}
  {petname}, and {petname} is {pet}
s.answer.partner = partner
  {who:he} is married to {whom:full}
  {whom:full} and {who:he} are married
  {whom:full}, [of course|as everyone knows]
s.answer.birthday = person
  {who:s} birthday is {birthday}
  on {birthday}
  {who:he} was born on {birthday} {birthyear}
s.answer.hours = place
  it opens at {opens} and closes at {closes}
  from {opens} to {closes}
  it is open until {closes}, from {opens} on
s.answer.closed = place
  it is closed on {weekday}s
  on {weekday}s it is closed
  {weekday} is the day of rest
s.answer.place = place
  it is on {street}, at the corner of {avenue}
  on {street}
  you will find it where {street} meets {avenue}
s.answer.owner = owner
  it belongs to {who:full}
  {who:full} runs it
  that is {who:full}
s.answer.founded = place
  it was founded in {founded}
  it has been there since {founded}
  since {founded}, they say
s.answer.author = author
  {who:full} wrote it
  it is by {who:full}
  that was {who:full}
s.answer.price = price
  {good} costs {yen}
  {yen} for one
  they are {yen} each
  you pay {yen} for {good} there
s.answer.weather = weather
  it was {sky}, with {degrees:deg}
  {sky}, and {degrees:deg}
  the {part:n} was {sky}; I read {degrees:deg}
s.answer.near = near
  {place} is {blocks:blocks} {side} of {place2}
  go {side} from {place2} for {blocks:blocks}
  walk {blocks:blocks} to the {side}
s.talk.react
  [I see|thank you|good to know|is that so|how interesting|I had no idea|that is what I thought]
  really, [I would not have guessed that|I had heard something else]
  [then I will remember it|I must write that down|that helps me a lot]
  [aha|oh|well, well], and I thought it was [different|otherwise]
s.talk.own
  {who} <past:1> {part:in}
  as for me, {who} <past:1>
  {part:in}, {who} <past:1>
s.talk.ask.own
  and what did you do {part:in}?
  how was your [day|{part:n}]?
  what have you been doing [today|all day]?
s.talk.bye
  [thank you|thanks], {whom:name}, [see you tomorrow|goodbye|until next time|that was kind of you]
  [I must be going|it is getting late|my bus is coming], [thank you for everything|many thanks], {whom:name}
  [that was all|now I know everything], [many thanks|thank you so much]
s.talk.bye2
  [goodbye|see you|take care|come again], {whom:name}
  [not at all|you are welcome|any time|with pleasure]
  [give my regards to everyone at home|have a nice {part}|mind the steps]
"""
