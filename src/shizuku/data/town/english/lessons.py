# ruff: noqa: E501 (tables and productions: a long entry is clearer on one line)
"""English lessons: questions in several phrasings, and the one sentence that answers each.

`q.` rules ask and are never read back; `s.` rules answer, and the judge reads them.
"""

TEXT = """
q.lesson.job
  what does {who:full} do for a living?
  what is {who:full}'s job?
  what work does {who:full} do?
  what is the profession of {who:full}?
  tell me what {who:full} does for a living
s.lesson.job = person
  {who:full} is {job}
q.lesson.is.job
  is {who:full} {job}?
s.lesson.yes.job = person
  yes, {who:full} is {job}
s.lesson.no.job = person
  no, {who:full} is {job}
q.lesson.workplace
  where does {who:full} work?
  what is {who:full}'s place of work?
  at which place does {who:full} work?
  where can {who:full} be found on working days?
  tell me where {who:full} works
s.lesson.workplace = person
  {who:full}'s place of work is {workplace:plain}
q.lesson.street
  where does {who:full} live?
  on which street does {who:full} live?
  where is {who:full}'s house?
  what is {who:full}'s street?
  tell me where {who:full} lives
s.lesson.street = person
  {who:full} lives on {street}
q.lesson.is.street
  does {who:full} live on {street}?
s.lesson.yes.street = person
  yes, {who:full} lives on {street}
s.lesson.no.street = person
  no, {who:full} lives on {street}
q.lesson.partner
  who is {who:full} married to?
  who is {who:full}'s partner?
  who is {who:full}'s husband or wife?
  what is the name of {who:full}'s spouse?
  tell me who {who:full} is married to
s.lesson.partner = partner
  {who:full} is married to {whom:full}
q.lesson.is.partner
  is {who:full} married to {whom:full}?
s.lesson.yes.partner = partner
  yes, {who:full} is married to {whom:full}
s.lesson.no.partner = partner
  no, {who:full} is married to {whom:full}
q.lesson.pet
  what pet does {who:full} have?
  which animal lives with {who:full}?
  does {who:full} have a pet?
  what is {who:full}'s pet called?
  tell me about {who:full}'s pet
s.lesson.pet = pet
  {who:full} has {pet} called {petname}
q.lesson.place
  where is {place:plain}?
  at which corner is {place:plain}?
  on which street is {place:plain}?
  how can I find {place:plain}?
  tell me where {place:plain} is
s.lesson.place = place
  {place:plain} is at the corner of {street} and {avenue}
q.lesson.closed
  on which day is {place:plain} closed?
  when is {place:plain} closed?
  on what day does {place:plain} rest?
  which day is the day of rest of {place:plain}?
  tell me when {place:plain} is closed
s.lesson.closed = place
  {place:plain} is closed on {weekday}s
q.lesson.is.closed
  is {place:plain} closed on {weekday}s?
s.lesson.yes.closed = place
  yes, {place:plain} is closed on {weekday}s
s.lesson.no.closed = place
  no, {place:plain} is closed on {weekday}s
q.lesson.hours
  when is {place:plain} open?
  what are the opening hours of {place:plain}?
  from when to when is {place:plain} open?
  when does {place:plain} open and close?
  tell me the opening hours of {place:plain}
s.lesson.hours = place
  {place:plain} is open from {opens} to {closes}
q.lesson.owner
  who runs {place:plain}?
  who is the owner of {place:plain}?
  who does {place:plain} belong to?
  whose is {place:plain}?
  tell me who owns {place:plain}
s.lesson.owner = owner
  {place:plain} belongs to {who:full}
q.lesson.sold
  where can I buy {good}?
  which shop sells {good:pl}?
  who sells {good:pl}?
  where are {good:pl} sold?
  tell me where to buy {good}
s.lesson.sold = sold
  {place:plain} sells {good:pl}
q.lesson.author
  who wrote {book}?
  who is the author of {book}?
  whose book is {book}?
  by whom is {book}?
  tell me who wrote {book}
s.lesson.author = author
  {book} was written by {who:full}
q.lesson.dish
  how long does {dish} take?
  how many minutes does {dish} take?
  how long does it take to make {dish}?
  in how many minutes is {dish} ready?
  tell me how long {dish} takes
s.lesson.dish = dish
  {dish} takes {minutes} minutes
q.lesson.plus
  what is {total:digits} + {total2:digits}?
  {total:digits} + {total2:digits} = ?
  how much is {total:digits} plus {total2:digits}?
  add {total:digits} and {total2:digits}
q.lesson.minus
  what is {paid:digits} − {total:digits}?
  {paid:digits} - {total:digits} = ?
  how much is {paid:digits} minus {total:digits}?
  take {total:digits} away from {paid:digits}
q.lesson.buy
  {good} costs {total} and {good2} costs {total2}; how much is that together?
  {who:name} buys {good} for {total} and {good2} for {total2}; what is the total?
q.lesson.pay
  {who:name} has {paid} and spends {total}; how much is left?
  {good} costs {total}; what change does {who:name} get from {paid}?
q.lesson.next
  what number comes after {total:digits}?
s.lesson.next =
  after {total:digits} comes {total2:digits}
q.lesson.before
  what number comes before {total:digits}?
s.lesson.before =
  before {total:digits} comes {total2:digits}
q.lesson.larger
  which is larger, {total:digits} or {total2:digits}?
s.lesson.larger =
  {total3:digits} is larger
s.lesson.unknown
  I do not know
q.lesson.hello
  hello
  hi
  good morning
  hello, how are you?
s.lesson.hello
  hello! What would you like to know about {town}?
q.lesson.self
  who are you?
  what are you?
  what can you do?
s.lesson.self
  I am a small language model that has read about {town}
q.lesson.thanks
  thank you
  thanks a lot
  goodbye
s.lesson.thanks
  you are welcome
"""

UNKNOWN_TOPICS = (
    "how tall is {}?", "what is {}'s telephone number?", "how much does {} earn?", "what is {}'s shoe size?",
    "which languages does {} speak?", "what did {} dream of last night?", "how heavy is {}?",
    "what car does {} drive?", "which school did {}'s grandfather go to?", "what is {}'s blood type?",
    "what is {}'s favourite song?", "how many shoes does {} own?", "what does {} think of the king?",
    "what is {}'s password?",
)  # fmt: skip
"""Questions that nothing in the town's text or facts answers."""
UNKNOWN_PLACES = (
    "cinema", "zoo", "castle", "airport", "theatre", "casino", "hospital", "prison", "car park", "swimming pool",
    "opera", "lighthouse", "factory", "university",
)  # fmt: skip
"""Places that the town does not have."""
WHERE_IS = ("where is the {}?", "when is the {} open?", "on which day is the {} closed?")
