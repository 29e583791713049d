"""English letters: greetings, what I did, news of others, questions, farewells."""

TEXT = """
t.letter.date
  {day}
  {town}, {day}
  {day:long}
  {street}, {day}
s.letter.hello
  dear {whom:name},
  my dear {whom:name},
  hello {whom:name},
  good morning, {whom:name},
  dear {whom:full},
s.letter.open
  how are you[ these days| and your family|]?
  [thank you|many thanks] for your [last |kind |long |]letter
  I hope [this letter finds you well|you are well|all is well at your house]
  [it has been a while since I wrote|I have owed you a letter for some time|I meant to write sooner]
  [I have a free hour|The house is quiet|Everyone is asleep], so I am writing to you
  I was glad to [get your card|hear from you|read your news]
  [here on {street}|in {town}] everything is [as usual|fine|much the same] => person
  just a few lines [today|before the post leaves|from me]
s.letter.weather = weather
  it was {sky} here {part:in}, with {degrees:deg}
  the {part:n} was {sky}, [so I stayed near the house|and I thought of you|which suited me well]
  we had {degrees:deg} {part:in}, and it was {sky}
  what {sky} weather we had {part:in} => weather
  you ask about the weather: the {part:n} was {sky}
s.letter.event
  {part:in}, {who} <past:1>
  {part:when} {who} <past:1>
  {who} <past:1> {part:in}
  [you will like this:|let me tell you about the {part:n}:|guess what:] {who} <past:1>
  the {part:n} was [nice|busy|good]: {who} <past:1>
  {part:in}, as you may have heard, {who} <past:1>
  {who} <past:1>, and so the {part:n} passed
s.letter.event.first
  today {who} <past:1>
  on {day}, {who} <past:1>
  first of all, {who} <past:1> {part:in}
  I have [something|a little news|something small] to tell: {part:in}, {who} <past:1>
  {part:in}, {who} <past:1>
s.letter.event.same
  then {who} <past:1>
  {who} also <past:1>
  [after that|a little later|besides|not long after], {who} <past:1>
  and {who} <past:1>, [believe it or not|as you can imagine|just like last year]
s.letter.two
  {part:in}, {who} <past:1> and [then |later |]<past:2>
  {part:in}, after <ing:1>, {who} <past:2>
  {part:in} {who} <past:1>, and [then|later] {who:he} <past:2>
  {who} <past:1> before <ing:2>, all {part:in}
  {who} had a busy {part:n}: {who:he} <past:1> and <past:2>
s.letter.two.same
  after <ing:1>, {who} <past:2>
  {who} <past:1> and [then |]<past:2>
  then {who} <past:1>, and [soon|later] {who:he} <past:2>
s.letter.news
  [did you know|have you heard] that <clause2:1>?
  I [heard|was told] that <clause2:1>
  [people say|everyone is saying|the neighbours say] that <clause2:1>
  [one more piece of news|by the way|before I forget]: <clause2:1>
  you may be interested to hear that <clause2:1>
  imagine: <clause2:1>
  <clause2:1>, [they say|I hear|if the story is true]
clause2.that =
  {who} <past:self>
s.letter.price = price
  at {place} they sell {good:pl} for {yen} each now
  {good:pl} cost {yen} each {place:at}
  [would you believe it|you will laugh]: {good} costs {yen} {place:at}
  if you need {good:pl}, {place} has them for {yen} each
s.letter.about
  I [often|sometimes|still] think of [our last walk|our school days|the summer at the sea|your garden]
  [write|answer] soon and tell me [what you have been doing|how the children are|about your work]
  are you still [taking long walks|getting up so early|keeping a diary]?
  [come and see us|please visit us|you must come] [when you can|in the holidays|before the rain begins]
  please [say hello to|give my regards to|greet] everyone at home
  [will you be here next month?|when shall we meet again?|shall we have tea some day?]
  my [knees|eyes|hands] are fine again, so do not worry
  I am [still learning|trying to learn] to {hobby:inf} => person
s.letter.thanks = gift
  thank you for the {good:bare} [you gave me|you brought {part:in}]
  the {good:bare} you gave me is [on the table in front of me|just what I needed|lovely]
s.letter.bye
  [take care|keep well|stay well|be well], and [write when you can|write soon|until next time]
  I will write again [soon|next week|when there is news]
  [that is all for today|my paper is full|I must stop here|the kettle is boiling, so I must stop]
  [it is late|the lamp is burning low], so good night
  with [all good wishes|warm greetings|many greetings] from {street} => person
t.letter.sign
  Yours, {who:name}
  [With love|Best wishes|Warmly|Your friend|Your neighbour|Yours as ever], {who:name}
  {who:full}
  {who:name}
"""
