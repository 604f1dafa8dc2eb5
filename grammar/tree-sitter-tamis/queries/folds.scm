[(step) (sweep) (data) (header) (save)] @fold
