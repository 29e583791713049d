"""English encyclopedia entries: people, places, goods, books, dishes."""

TEXT = """
t.entry.person
  {who:full}
  {who:full} [of {street}|(born {birthyear})]
t.entry.place
  {place}
  {place} of {town}
t.entry.good
  {good:stuff}
  {good:stuff} in {town}
t.entry.book
  {book}
t.entry.dish
  {dish}
s.entry.person.first.born = person
  {who:full} (born {birthday} {birthyear}) is {job} in {town}
  {who:full}, born on {birthday} {birthyear}, is {job}
  {who:full} is {job}[| in {town}] and was born in {birthyear}
  born on {birthday} {birthyear}, {who:full} is {job} in {town}
  the life of {who:full}, {job}, began on {birthday} {birthyear}
s.entry.person.first.street = person
  {who:full} is {job} who lives on {street} in {town}
  {who:full} belongs to the {family} family of {street} and is {job}
  on {street} in {town} lives {who:full}, {job}
  {who:full}, {job}, has a house on {street}
  {job} named {who:full} lives on {street}
s.entry.person.first.job = person
  {town} knows {who:full} as {job}
  {who:full} is {job} in {town}
  {who:full} works {workplace:at} in {town}
  {who:full} of {town} is {job}
  {who:full} is {job}
s.entry.person.street = person
  {who} lives on {street}
  {who:s} home is on {street}
  [one finds {who:s} house|{who:s} house stands] on {street}
s.entry.person.born = person
  {who:s} birthday is {birthday}
  {who} was born in {birthyear}
  {who} celebrates {who:his} birthday on {birthday}
s.entry.person.trait = person
  {who} is [known to be|said to be|described as] {trait}
  [neighbours|friends|people] describe {who:o} as {trait}
  [those who know {who:o}|the people of {street}] find {who:o} {trait}
s.entry.person.colour = person
  {who:s} favourite colour is {colour}
  of all colours {who} likes {colour} best
  {who} likes to wear {colour}
s.entry.person.favourite = person
  {who} is especially fond of {favourite:stuff}
  {who:s} favourite food is {favourite}
  {who} [never says no to|cannot resist|is happy with] {favourite}
s.entry.person.hobby = person
  [in spare hours|on free days|when there is time|for pleasure], {who} {hobby:third}
  {who} {hobby:third} [in the evenings|on Sundays|whenever there is time]
  {who:s} pastime is easy to name: {who:he} {hobby:third}
s.entry.person.work = person
  {who} can [often|usually] be found {workplace:at} on working days
  {who:s} days are spent {workplace:at}
  on weekdays {who} is {workplace:at}
s.entry.partner = partner
  {who} is married to {whom:full}
  {who:s} [spouse|partner] is {whom:full}
  {who} and {whom:full} are a married couple
s.entry.child = child
  {who} has a child named {whom}
  {whom:full} is {who:s} child
  one of {who:s} children is {whom}
s.entry.parent = child
  {who:full} is a parent of {whom}
  one of {whom:s} parents is {who:full}
s.entry.children = children
  {who} has [no children|no sons or daughters] => children(number=0)
s.entry.pet = pet
  {who} has {pet} called {petname}
  {petname}, {pet}, lives with {who:o}
  at home there is {pet} named {petname} => pet
  {who:s} {pet:bare} is called {petname}
s.entry.owner = owner
  {who} [runs|owns|keeps] {place}
  {place} belongs to {who:o}
s.entry.author = author
  {who} is the author of {book}
  {who} wrote the book {book}
  the book {book} was written by {who:full}
s.entry.deed
  on {day}, {who} <past:1>
  {who} <past:1> on {day}
  [it is recorded|the town paper reported|it is remembered] that on {day} {who} <past:1>
  among the things [people remember|written about {who:o}] is this: on {day}, {who} <past:1>
s.entry.place.first = place
  {place} [is|stands|lies] on {street} in {town}
  {place} is found where {street} meets {avenue}
  {place} is one of the [oldest|best known|busiest|quietest] places in {town} => place
  in {town}, {place} stands at the corner of {street} and {avenue}
  those who walk down {street} will see {place} at the corner of {avenue}
  {street} is home to {place}
s.entry.place.founded = place
  it was founded in {founded}
  [the house|the place|it] has existed since {founded}
  its history goes back to {founded}
  in {founded}, {place} opened for the first time
s.entry.place.hours = place
  it opens at {opens} and closes at {closes}
  [the opening hours are|it is open] from {opens} to {closes}
  one can go in from {opens} until {closes}
s.entry.place.closed = place
  it [is closed|rests|does not open] on {weekday}s
  [visitors|guests] should know that {weekday} is the day of rest
  {weekday} is the only day on which {place} is closed
s.entry.near = near
  {place} is {blocks:blocks} {side} of {place2}
  from {place2}, it is {blocks:blocks} {side} to {place}
  {place} lies {side} of {place2}
  [looking|seen] from {place2}, {place} lies to the {side}
  going {side} from {place2}, one comes to {place}
s.entry.place.owner = owner
  {place} belongs to {who:full}
  {who:full} [is the owner|runs the shop|stands behind the counter]
  the owner of {place} is {who:full}
s.entry.sold = sold
  among the goods are {good:pl}
  {good:pl} are sold there
  one can buy {good:stuff} {place:at}
  {place} sells {good:stuff}[, among other things| and more|]
s.entry.good.first = sold
  {good:pl} are sold {place:at} in {town}
  in {town}, one buys {good:stuff} {place:at}
  {place} is the place to buy {good:stuff} in {town}
  those who look for {good:stuff} in {town} go to {place}
  {good:stuff} can be had {place:at}
s.entry.good.also = sold
  {place} sells {good:stuff} too
  {good:pl} are sold {place:at} as well
  one can also buy {good:stuff} {place:at}
s.entry.price = price
  on {day}, {good} cost {yen} {place:at}
  the price of {good} {place:at} was {yen} on {day}
  {place} [asked|charged] {yen} for {good} on {day}
  on {day} one paid {yen} for {good} {place:at}
  anyone who wanted {good} on {day} paid {yen} {place:at}
s.entry.needs = needs
  {dish} is made with {good:n}
  the recipe for {dish} asks for {good:n}
  for {dish}, cooks use {good:n}
s.entry.dish = dish
  {dish} takes {minutes} minutes [to make|from start to finish]
  it is ready in {minutes} minutes => dish
  after {minutes} minutes, {dish} is ready
  cooks allow {minutes} minutes for {dish}
s.entry.likes = person
  {who:full} likes {favourite:stuff} very much
  {who:full} is known to love {favourite:stuff}
  nobody likes {favourite:stuff} more than {who:full}
s.entry.bought
  on {day}, {who:full} <past:1>
  {who:full} <past:1> on {day}
  to give an example, {who:full} <past:1> on {day}
s.entry.book.first = author
  {book} is a book by {who:full}
  {book} was written by {who:full} of {town}
  {who:full} wrote {book}
  the author of {book} is {who:full}
s.entry.town = town
  {town} has {residents:digits} inhabitants
  {residents:digits} people live in {town}
"""
