(block) @indent.begin
(step) @indent.begin
(block "}" @indent.end)
