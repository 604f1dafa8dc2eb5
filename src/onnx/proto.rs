//! The messages of ONNX that are written: those fields of `onnx.proto` (IR version 8) that a model of ours has.
//!
//! The crate `prost` encodes them: the format is protobuf's, and a field is a number and a type, which its derive reads from the
//! attributes here. Nothing is generated from `onnx.proto`, so that no compiler of protobuf is needed to build tamis. Fields that
//! are absent here are skipped when such a message is read.
//!
//! Source: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>.

use prost::Message;

/// The fields of [`Model`] and [`Graph`] that are written by hand, because what they hold is larger than memory.
pub mod tag {
    pub const MODEL_GRAPH: u32 = 7;
    pub const GRAPH_INITIALIZER: u32 = 5;
    pub const TENSOR_RAW_DATA: u32 = 9;
}

/// Element types of tensors.
pub mod element {
    pub const FLOAT: i32 = 1;
    pub const INT64: i32 = 7;
    pub const BOOL: i32 = 9;
    pub const DOUBLE: i32 = 11;
}

/// Kinds of attributes.
mod kind {
    pub const FLOAT: i32 = 1;
    pub const INT: i32 = 2;
    pub const STRING: i32 = 3;
    pub const GRAPH: i32 = 5;
    pub const INTS: i32 = 7;
}

#[derive(Clone, PartialEq, Message)]
pub struct Model {
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    #[prost(string, tag = "2")]
    pub producer_name: String,
    #[prost(string, tag = "3")]
    pub producer_version: String,
    #[prost(string, tag = "6")]
    pub doc_string: String,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<Opset>,
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<Entry>,
}

/// The version of a set of operators; the empty domain is ONNX's own.
#[derive(Clone, PartialEq, Message)]
pub struct Opset {
    // Readers tell an empty domain from none.
    #[prost(string, optional, tag = "1")]
    pub domain: Option<String>,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Node {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    #[prost(string, tag = "1")]
    pub name: String,
    // The format's checker wants the field of the kind to be there, also where it is zero.
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub s: Option<Vec<u8>>,
    #[prost(message, optional, tag = "6")]
    pub g: Option<Graph>,
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    pub r#type: i32,
}

/// A constant, or a weight.
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(string, tag = "8")]
    pub name: String,
    /// Little-endian.
    #[prost(bytes = "vec", optional, tag = "9")]
    pub raw_data: Option<Vec<u8>>,
    /// `location`, `offset` and `length`, where the elements lie in a file beside the model's.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<Entry>,
    /// 1 where they do.
    #[prost(int32, optional, tag = "14")]
    pub data_location: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ValueInfo {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Type {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// A number, or the name of one that an input decides.
#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    #[prost(int64, optional, tag = "1")]
    pub dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub dim_param: Option<String>,
}

impl Attribute {
    fn new(name: &str, kind: i32) -> Self {
        Self { name: name.into(), r#type: kind, ..Self::default() }
    }

    pub fn float(name: &str, f: f32) -> Self {
        Self { f: Some(f), ..Self::new(name, kind::FLOAT) }
    }

    pub fn int(name: &str, i: i64) -> Self {
        Self { i: Some(i), ..Self::new(name, kind::INT) }
    }

    pub fn text(name: &str, s: &str) -> Self {
        Self { s: Some(s.as_bytes().into()), ..Self::new(name, kind::STRING) }
    }

    pub fn ints(name: &str, ints: &[i64]) -> Self {
        Self { ints: ints.into(), ..Self::new(name, kind::INTS) }
    }

    pub fn graph(name: &str, g: Graph) -> Self {
        Self { g: Some(g), ..Self::new(name, kind::GRAPH) }
    }
}

impl ValueInfo {
    pub fn new(name: &str, elem_type: i32, dim: Vec<Dimension>) -> Self {
        let tensor_type = Some(TensorType { elem_type, shape: Some(Shape { dim }) });
        Self { name: name.into(), r#type: Some(Type { tensor_type }) }
    }

    /// A value of a graph inside of another, whose type follows from what makes it.
    pub fn inner(name: &str) -> Self {
        Self { name: name.into(), r#type: None }
    }
}

impl Dimension {
    pub fn of(value: usize) -> Self {
        Self { dim_value: Some(value as i64), dim_param: None }
    }

    pub fn named(name: &str) -> Self {
        Self { dim_value: None, dim_param: Some(name.into()) }
    }
}

impl Entry {
    pub fn new(key: &str, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}
