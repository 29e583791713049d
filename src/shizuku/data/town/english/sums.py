"""English shop arithmetic: problems, questions, workings and answers."""

TEXT = """
t.sum
  [Problem|A sum|Shop arithmetic|Counting at the till|A small problem]
  [At|A sum from|Shopping at] {place}
  [A sum with|Buying|The price of] {good:pl}
  {who:s} shopping
s.sum.buy = purchase
  {who} buys {good:n} {place:at}
  {place:at}, {who} buys {good:n}
  {who} goes to {place} and buys {good:n}
  {who} needs {good:n} and gets everything {place:at}
  {who} wants {good:n} and goes to {place}
  {who:full} is {place:at} and takes {good:n} to the till
  {who:s} basket holds {good:n} from {place}
  {who} puts {good:n} on the counter {place:at}
  on {day}, {who} buys {good:n} {place:at}
s.sum.unit = price
  {good} costs {yen} there
  one {good:bare} costs {yen}
  {good:pl} are {yen} each
  the price of one {good:bare} is {yen}
  the sign says that {good} costs {yen}
  each {good:bare} is {yen}
  {place} asks {yen} for one {good:bare}
  for one {good:bare}, the shop takes {yen}
s.sum.both = price
  {place:at}, {good:pl} cost {yen} each
  {place} sells {good:pl} for {yen} each
  on {day}, {good} costs {yen} {place:at}
  {good} {place:at} costs {yen}
s.sum.both2 = price
  {place:at}, on the other hand, {good:pl} cost {yen} each
  {good} {place:at} costs {yen}, however
  {place} sells {good:pl} too, for {yen} each
  but {place:at} one pays {yen} for {good}
s.sum.and
  {who} also takes {good2}, which costs {total2}
  to this {who} adds {good2} for {total2}
  {who} remembers that {good2} is needed too; it costs {total2}
  there is also {good2} for {total2} in the basket
s.sum.pays
  {who} [pays with|hands over|gives the shopkeeper|puts down] {paid}
  {who} has {paid} in {who:his} purse
  {who} takes {paid} out of {who:his} wallet
  in {who:his} pocket {who} has {paid}, and {who:he} gives all of it
s.sum.share
  {people} friends share the cost [equally|fairly|in equal parts]
  the cost is shared [equally |]by {people} people
  {people} people want to pay the same amount each
  [later|afterwards], {people} people split the bill [equally|evenly]
s.ask.total
  how much does {who} pay[ in all| altogether|]?
  what does {who} have to pay?
  how much is that[ in all| altogether|]?
  what is the total?
  how many yen does {who} need?
  what does the shopkeeper ask for?
  how much does it come to[ in all| together|]?
  find the total price
  what will {who} pay at the till?
s.ask.change
  how much change does {who} get[ back|]?
  how much is left?
  what does {who} get back?
  how many yen does the shopkeeper give back?
  how much money does {who} have afterwards?
  what change is due?
s.ask.each
  how much does each [of them |person |]pay?
  what is one share?
  how many yen is that for each?
  what does one person pay?
s.ask.more
  how much [dearer|more expensive] is the first shop?
  what is the difference between the two prices?
  how much does one save by going to the second shop?
  how many yen lie between the two prices?
s.sum.times = times
  {count:digits} × {unit:digits} = {total:digits}
  {count:digits} times {unit:digits} [is|makes|gives] {total:digits}
  {good:n} at {unit} each [come to|cost|make] {total}
  we multiply {count:digits} by {unit:digits} and get {total:digits}
  [first|to begin with], {count:digits} × {unit:digits} = {total:digits}
  {unit:digits} taken {count} times is {total:digits}
s.sum.plus = plus
  {total:digits} + {total2:digits} = {total3:digits}
  [together|then|with the other thing], {total:digits} + {total2:digits} = {total3:digits}
  {total} and {total2} [make|are|add up to] {total3}
  adding {total2:digits} to {total:digits} gives {total3:digits}
s.sum.minus = minus
  {paid:digits} − {total:digits} = {change:digits}
  from {paid:digits}, we [take|subtract] {total:digits} and have {change:digits} left
  {paid} less {total} is {change}
  [then|now|so] {paid:digits} − {total:digits} = {change:digits}
  {total} from {paid} leaves {change}
s.sum.less = minus
  {paid:digits} − {total:digits} = {change:digits}
  {paid} less {total} is {change}
  {paid} is {change} more than {total}
  taking {total} from {paid} leaves {change}
s.sum.divide = share
  {total:digits} ÷ {people:digits} = {each:digits}
  {total} divided by {people} is {each:money}
  [then|now] {total:digits} ÷ {people:digits} = {each:digits}
  sharing {total} among {people} gives {each:money} each
s.sum.answer.total = purchase
  {who} pays {yen}
  [answer|the answer is|it is|the total is]: {yen}
  so {who} pays {yen}[ in all| altogether|]
  the shopkeeper asks for {yen}
  {yen} is [the total|what {who} pays|what it costs]
  that makes {yen}
s.sum.answer.sum
  {who} pays {total3}
  [answer|the answer is|it is|the total is]: {total3}
  so {who} pays {total3}[ in all| altogether|]
  {total3} is [the total|what {who} pays]
s.sum.answer.change
  {who} gets {change} back
  [answer|the answer is|the change is|it is]: {change}
  so {who} has {change} left
  {change} is [the change|what is left]
  the shopkeeper gives back {change}
s.sum.answer.more
  the first shop is {change} dearer
  [answer|the answer is|the difference is|it is]: {change}
  one saves {change} at the second shop
  {change} is the difference
s.sum.answer.each
  each pays {each:money}
  [answer|the answer is|one share is|it is]: {each:money}
  so everyone pays {each:money}
  {each:money} is one share
"""
