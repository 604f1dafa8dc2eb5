(comment) @comment
(text) @string
(escape) @string.escape
(interpolation (identifier) @variable)
(number) @number
(boolean) @boolean
(unit) @type.builtin

["recipe" "use" "param" "let" "model" "data" "measure" "expect" "sweep" "save" "in"] @keyword
(clause word: _ @keyword)
["of" "at" "with" "except"] @keyword

(step verb: (identifier) @function)
(noun (identifier) @type)
(param name: (identifier) @variable)
(param type: (type) @type)
(let name: (identifier) @variable)
(model name: (identifier) @variable)
(data name: (identifier) @variable)
(sweep name: (identifier) @variable)

(reference name: (identifier) @variable)
(reference name: (identifier) @function.call (arguments))
(clause word: "by" value: (reference name: (identifier) @function.call))
(measured (reference name: (identifier) @function.call))
(expect of: (identifier) @variable)
(key) @variable.parameter
(child (identifier) @property)
(alternatives (identifier) @property)
(raw "tensor" @function.builtin)
[(any_depth) (any_child) (all)] @operator
["+" "-" "*" "/" ".." "="] @operator
(comparison) @operator
["(" ")" "[" "]" "{" "}"] @punctuation.bracket
["," "." ":"] @punctuation.delimiter
; Behind the brackets, as of two patterns the last one counts.
(interpolation ["{" "}"] @punctuation.special)
