# ruff: noqa: E501 (tables and productions: a long entry is clearer on one line)
"""English notices: offers, things lost and found, results, the weather, closing days."""

TEXT = """
t.notice.sale
  [Offer of the day|Today's offers|Good prices today|Special prices|Notice|A word from our shop] [at|from] {place}
  [Sale|Small sale|Today's sale|Offers], {day}
  {place}: [today's offers|prices of the day|what is cheap today]
  {day:long}
  To [all our customers|our neighbours|everyone on {street}]
t.notice.lost
  [Lost|Missing|Lost in town|Wanted]: {item}
  [Lost|Missing] on {day}
  [Please help|Lost property|Notice|A request]
  Who has seen the {item:bare}?
t.notice.found
  [Found|Found in town]: {item}
  [Found|Lost and found], {day}
  [Is it yours?|Good news|Lost property office]
t.notice.win
  [Results|Winners|News from the contests|Contest results] of {day}
  [Congratulations|Well done|First prize]
  [Sports and games|Contests in {town}]
t.notice.weather
  [The weather|Weather report|Weather notice|Weather in {town}], {day}
  {day:long}
  [From the town hall|Today's weather|Weather for today]
t.notice.hours
  [Opening hours|Notice|To our visitors|Information]: {place}
  [About|News from|Visiting] {place}
  {place}, {street}
s.notice.greet
  dear [customers|neighbours|friends], [thank you for coming|we are glad to see you|good day to you all|please take a look]
  [here are|these are|please see below] our [prices|offers] for {day}
  [today|on {day}] {place} has [something|good things] for you
  [we open our doors at|the doors open at] {opens} [as always|today], and [these|the following] prices hold all day => place
  [it is market weather|the season is right], so please come [and look|in]
  this is {place} on {street}, [speaking to all who pass by|with news for {day}] => place
  {who:full} of {place} [greets you|sends greetings|has a good offer for you] => owner
s.notice.sale = sale
  {good:pl} are {yen} each today instead of {usual}
  instead of {usual}, you pay only {yen} for {good}
  [today only|only on {day}|for one day only], {good} costs {yen}
  the price of {good} [falls|goes down] from {usual} to {yen}
  [please note|look]: {good:pl} at {yen} each[, usually {usual}|]
  we sell {good:pl} for {yen} [each|apiece] [until evening|while there are any left|until we close]
  [take home|buy] {good} for {yen} and save [a little|some money] against the usual {usual}
  we have marked {good:pl} down to {yen} each
s.notice.price = price
  {good} costs {yen}[ today| as it did this morning|]
  {good:pl} are {yen} each
  {yen} is the price of {good} [today|at {place}]
  [we have|there are] {good:pl} at {yen} each
  for {yen}, you can have {good}
  [ask for|try] our {good:pl} at {yen} each
s.notice.hours = place
  we are open from {opens} to {closes}
  {place} is open until {closes}
  {place} opens at {opens} and closes at {closes}
  [please remember that|note that] {place} is closed on {weekday}s
  our door is open from {opens}, but not on {weekday}s
  we rest on {weekday}s
  you will find us on {street}, at the corner of {avenue}
  {place} stands where {street} meets {avenue}
  visitors are welcome from {opens} until {closes}, except on {weekday}s
  on {weekday}s [nobody will be here|the door stays shut|we take a day off]
s.notice.history = place
  {place} has stood on {street} since {founded}
  {place} was founded in {founded}
  [the people of {town}|our grandparents] have been coming here since {founded}
s.notice.bye
  [we look forward to seeing you|we hope to see you soon|thank you for reading|please tell your neighbours|please come early]
  [please bring your own bag|please line up at the left door|no dogs inside, please|children are welcome]
  [thank you very much|with kind regards|see you soon]
  with best wishes, {who:full} => owner
s.notice.lost = lose
  {who:full} lost {who:his} {item:bare} {place:at} on {day}
  on {day}, {who:full} left {who:his} {item:bare} {place:at} {part:in}
  {who:full} has been looking for {who:his} {item:bare} since {day}
  on {day}, {item} was lost {place:at} {part:in}
  {item} belonging to {who:full} was lost {place:at} {part:in} on {day}
  {who:full} is missing {item}, last seen {place:at}
s.notice.lost.more
  {who} lives on {street} and [can be found there most evenings|would be very happy to have it back] => person
  it is [small and old|of no great value, but dear to its owner|{colour}, with a name inside|easy to recognise]
  [anyone who finds|whoever has found] it is asked to bring it to [the town hall|the post office|{street}]
  {who} is {job} and [walks through town every day|can also be asked in person] => person
  [there is a small reward|a cup of tea awaits the finder|the finder will be thanked with a cake]
  [please look|we ask you to look] under the benches and behind the hedges as well
s.notice.found = find
  {who:full} found {item} {place:at} on {day}
  {item} was found {place:at} {part:in}
  on {day}, {item} belonging to {whom:full} turned up {place:at}
  thanks to {who:full}, {whom:s} {item:bare} has been found {place:at}
  the {item:bare} that {whom:full} lost has been found by {who:full}
s.notice.found.more
  {whom} may collect it at [the town hall|the station|the post office] [before noon|on any weekday|until Friday]
  we [keep|hold] such things for [three months|half a year|thirty days]
  [many thanks|our thanks go|thanks] to the [honest|kind] finder
  we thank {who} [for being so honest|very much] => find
  please bring [some proof of your name|this notice] when you come
s.notice.win = win
  {who:full} won {contest} {place:at}
  {contest} {place:at} was won by {who:full}
  first place in {contest} went to {who:full}
  {part:in}, {who:full} came first in {contest} {place:at}
  the winner of {contest} is {who:full}
  {place:at}, {who:full} won {contest} {part:in}
s.notice.win.more
  {who} is {years} years old and lives on {street} => person
  {who:name}, {job}, [was surprised|was happy|thanked everyone who came] => person
  [all those who took part|the other guests] received [a ribbon|a small prize|a warm drink]
  the next contest will be held [in a month|soon|when the weather is warmer]
  [the mayor|the youngest visitor|last year's winner] handed over the prize
s.notice.weather = weather
  [it will be|we expect it to be|it is] {sky} {part:in}, with {degrees:deg}
  the {part:n} [is|will be] {sky} at {degrees:deg}
  {part:in}, please expect {sky} weather
  {sky} weather and {degrees:deg} are expected {part:in}
  {degrees:deg} and {sky}: that is the {part:n}
s.notice.advice
  please [dress warmly|carry an umbrella|drink enough water|close your windows|drive slowly] when you go out
  [boats should stay in the harbour|the ferry will run as usual|the school outing takes place as planned]
  [older people|small children] should [not stay out too long|take care on the steps]
  [the next notice follows in the evening|please pass this on to your neighbours|have a safe day]
"""
