# ruff: noqa: E501 (tables and productions: a long entry is clearer on one line)
"""English instructions: recipes, directions, and how to do things."""

TEXT = """
t.recipe
  {dish}
  [How to make|Recipe for|Cooking] {dish}
  [A simple|Our|A family] recipe for {dish}
s.recipe.first = dish
  {dish} takes about {minutes} minutes
  [here is how to make|this is how people in {town} make|you do not need to be a cook to make] {dish} => dish
  [allow|plan] {minutes} minutes for {dish}
  {dish} for two people is ready in {minutes} minutes
  if you have {minutes} minutes, you can make {dish}
  {dish} is [easy|good on any day|a favourite with children|quickly made] => dish
t.recipe.list
  [You need|Ingredients|For two people|What you need]:
t.recipe.item = needs
  - {good:n}
s.recipe.needs = needs
  for {dish} you need {good:n}
  first of all, get {good:n} for the {dish}
  {dish} is made with {good:n}
s.recipe.needs2 = needs
  you also need {good:n}
  get {good:n} as well
  {good:n} should be at hand too
s.recipe.shop = sold
  you can buy {good:stuff} {place:at}
  {place} sells {good:stuff}
s.recipe.wash
  wash the {good:some} [well|in cold water|carefully|and let the water run off]
  [peel|clean|wash] the {good:some}
  [rinse|wipe] the {good:some} and put everything [aside|on a board|in a bowl]
s.recipe.cut
  cut the {good:some} into [small pieces|thin slices|large pieces|pieces of the same size]
  [chop|slice|cut up] the {good:some}[ finely| coarsely| on a board|]
  [with a sharp knife|on a board], cut the {good:some} [in half|into cubes|into strips]
  the {good:some} should be cut [small|into slices|into bite-sized pieces]
s.recipe.open
  open the {good:stuff} and [put it within reach|measure out what you need]
  have the {good:stuff} ready [beside the stove|in a small bowl]
  take out the {good:stuff} [in good time|before you begin]
s.recipe.simmer
  put everything into a pot, cover it with water and bring it to the boil
  [turn the heat down|lower the flame] and let it simmer [gently|without stirring|under a lid]
  [skim off the foam|stir it|taste the broth] [while it cooks|from time to time|now and then]
s.recipe.grill
  heat the grill [until it is very hot|for a few minutes|well]
  grill one side until it is brown, then turn it [over|carefully]
  [sprinkle|season it with] [a pinch of salt|salt|a little salt] [before serving|on both sides]
s.recipe.fry
  heat [some oil|a little oil|two spoons of oil] in a pan
  fry everything over a [high|medium|strong] flame, stirring [all the time|well|with a wooden spoon]
  season it with [salt|a little soy sauce|pepper] and [mix well|stir once more]
s.recipe.mix
  put everything into a large bowl
  mix it [gently|with two spoons|well but carefully]
  [add|sprinkle in] [a pinch of salt|a little lemon juice|whatever spice you like] and let it rest
s.recipe.bake
  [heat|warm] the oven [first|to a medium heat|while you prepare the rest]
  put everything into a [buttered|flat|small] dish and place it in the oven
  bake it until [the top is golden|it smells sweet|the edges are brown]
s.recipe.time = dish
  {dish} is done after {minutes} minutes
  after {minutes} minutes in all, {dish} is ready
  count {minutes} minutes from the start
s.recipe.end
  serve it [at once|on a large plate|in small bowls|while it is fresh]
  [enjoy your meal|it tastes even better the next day|what is left keeps until tomorrow]
  [put it on the table|share it out] and call everyone to eat
t.way
  [From|The way from] {start:plain} to {end:plain}
  [How to get|Finding your way|Walking] to {end:plain}
  [Directions|The way] to {end:plain}
s.way.first
  [here is the way|this is how to walk|this is the best way] from {start} to {end}
  you are standing at the door of {start} and want to go to {end}
  to get from {start} to {end}, [do as follows|follow these steps|go like this]
  {end} is not far from {start}
s.way.row = way
  from {start}, go {side} along {street} for {blocks:blocks}
  leave {start} and walk {blocks:blocks} {side} on {street}
  start at {start} and follow {street} {side} for {blocks:blocks}
  [first|to begin with] walk {blocks:blocks} {side} from {start}, on {street}
  turn {side} when you leave {start} and go {blocks:blocks} along {street}
s.way.column = way
  then go {side2} on {avenue} for {blocks2:blocks} until you see {end}
  at the corner of {avenue}, turn {side2} and walk {blocks2:blocks} to {end}
  at {avenue} go {side2}; after {blocks2:blocks} you reach {end}
  now follow {avenue} {side2} for {blocks2:blocks}, and you are at {end}
  turn {side2} into {avenue}: {end} is {blocks2:blocks} away
s.way.corner = place
  {end} stands at the corner of {street} and {avenue}
s.way.end
  {place} is on {street} => place
  [you cannot miss it|look for the sign over the door|if you get lost, ask anyone|the walk takes a few minutes]
  {place} opens at {opens}, so do not come too early => place
  {place} was founded in {founded}, and the old sign is still there => place
  [remember|but note] that {place} is closed on {weekday}s => place
t.how
  [How to|A good way to|Learning to] {topic}
  {topic}[| in a few steps|, step by step]
s.how.first
  [anyone can|everyone should know how to|it is not hard to|with a little patience you can] {topic}
  [this is how to|here is how to|let us] {topic}
  if you want to {topic}, [read on|take your time|begin in the morning]
s.how.step.first
  [first|first of all|to begin with|before anything else], {step}
  {step}
s.how.step
  [then|next|after that|now|when you are ready|once that is done|step by step|as soon as you can|without hurry], {step}
  {step}
  now {step}
  then {step}
s.how.plain
  {step}
s.how.end
  [that is all|now you are done|do not hurry|practice helps|try again if it fails the first time]
  [ask|if anything is unclear, ask] {who:full}, who is {job} and knows all about it => person
  {who:full} [showed us|taught the children of {town}] how to do this => person
"""
