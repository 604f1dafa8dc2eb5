//! Safetensors files for this module's tests, right and wrong ones.

/// A file of that header, as it is, and those data.
pub fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A file of tensors of one byte, all zero.
pub fn zeros(names: &[&str]) -> Vec<u8> {
    let tensor = |(at, name): (usize, &&str)| {
        format!(r#""{name}":{{"dtype":"U8","shape":[1],"data_offsets":[{at},{}]}}"#, at + 1)
    };
    let tensors: Vec<String> = names.iter().enumerate().map(tensor).collect();
    safetensors(&format!("{{{}}}", tensors.join(",")), &vec![0; names.len()])
}
