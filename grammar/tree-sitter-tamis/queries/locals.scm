(source_file) @local.scope
(block) @local.scope
(param name: (identifier) @local.definition.var)
(let name: (identifier) @local.definition.var)
(data name: (identifier) @local.definition.var)
(model name: (identifier) @local.definition.var)
(sweep name: (identifier) @local.definition.var)
(reference name: (identifier) @local.reference)
