//! A safetensors header as its JSON says it, before any of it is believed.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::text::{Unique, shown};

/// No tensor of any framework has more dimensions; bounds what a shape in a hostile header may take.
const MAX_RANK: usize = 64;

/// The tensors of a header in its order; names may repeat.
pub struct Header<'a> {
    pub tensors: Vec<(String, Listed<'a>)>,
}

/// One tensor.
#[derive(Deserialize)]
pub struct Listed<'a> {
    #[serde(borrow)]
    pub dtype: Cow<'a, str>,
    pub shape: Extents,
    /// Begin and end, counted from the end of the header.
    pub data_offsets: (u64, u64),
}

impl<'de> Deserialize<'de> for Header<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Header<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut tensors = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let blame = |error: A::Error| A::Error::custom(format!("`{}`: {error}", shown(&name)));
                    if name == "__metadata__" {
                        map.next_value::<Unique<String>>().map_err(blame)?;
                    } else {
                        let listed = map.next_value().map_err(blame)?;
                        tensors.push((name, listed));
                    }
                }
                Ok(Header { tensors })
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// A shape of bounded rank.
pub struct Extents(pub Vec<usize>);

impl<'de> Deserialize<'de> for Extents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numbers;

        impl<'de> Visitor<'de> for Numbers {
            type Value = Extents;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of extents")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut extents = Vec::new();
                while let Some(extent) = list.next_element()? {
                    if extents.len() == MAX_RANK {
                        return Err(A::Error::custom(format!("more than {MAX_RANK} dimensions")));
                    }
                    extents.push(extent);
                }
                Ok(Extents(extents))
            }
        }

        deserializer.deserialize_seq(Numbers)
    }
}
