//! A picture's rows among those of a text.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;

use super::Failure;
use super::interpret::Value;
use super::rows::{Kind, Rows};

/// The rows of each sample from a number on.
///
/// # Errors
/// Where the tensor is not of rows: an error of ours.
pub fn behind(first: usize, x: &Value) -> Result<Value, Failure> {
    let ranges: Vec<Range<usize>> =
        x.rows.ranges().into_iter().map(|range| (range.start + first).min(range.end)..range.end).collect();
    let parts = ranges.iter().map(|range| x.tensor.narrow(0, range.start, range.len()));
    let parts: Vec<Tensor> = parts.collect::<candle_core::Result<_>>()?;
    let rows = Rows::of(ranges.iter().map(Range::len));
    let rows = match x.rows.kinds() {
        Some(kinds) => rows.with_kinds(ranges.into_iter().flat_map(|range| kinds[range].to_vec()).collect()),
        None => rows,
    };
    Ok(Value { tensor: Tensor::cat(&parts, 0)?, rows: Arc::new(rows) })
}

/// The rows of each text, with those of its picture in the place of the placeholders, which lie in one run.
///
/// # Errors
/// Where a text has no such run, or several.
pub fn inserted(placeholder: u32, ids: &[u32], text: &Value, picture: &Value) -> Result<Value, Failure> {
    let (mut parts, mut lengths, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    for (sample, range) in text.rows.ranges().into_iter().enumerate() {
        let own = &ids[range.clone()];
        let run = run(placeholder, own).ok_or(Failure::NoPlace { sample, placeholder })?;
        let patches = picture.rows.of_sample(sample);
        let mut push = |of: &Tensor, rows: Range<usize>| -> Result<(), Failure> {
            if !rows.is_empty() {
                parts.push(of.narrow(0, rows.start, rows.len())?);
            }
            Ok(())
        };
        push(&text.tensor, range.start..range.start + run.start)?;
        push(&picture.tensor, patches.clone())?;
        push(&text.tensor, range.start + run.end..range.end)?;
        kinds.extend(vec![Kind::Text; run.start]);
        match picture.rows.kinds() {
            Some(of_picture) => kinds.extend_from_slice(&of_picture[patches.clone()]),
            None => kinds.extend(vec![Kind::Picture; patches.len()]),
        }
        kinds.extend(vec![Kind::Text; own.len() - run.end]);
        lengths.push(own.len() - run.len() + patches.len());
    }
    let rows = Rows::of(lengths).with_kinds(kinds);
    Ok(Value { tensor: Tensor::cat(&parts, 0)?, rows: Arc::new(rows) })
}

/// The one run of a token.
fn run(token: u32, ids: &[u32]) -> Option<Range<usize>> {
    let start = ids.iter().position(|&id| id == token)?;
    let length = ids[start..].iter().take_while(|&&id| id == token).count();
    let again = ids[start + length..].contains(&token);
    (!again).then_some(start..start + length)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn value(rows: &[f32], lengths: &[usize]) -> Value {
        let tensor = Tensor::from_slice(rows, (rows.len(), 1), &Device::Cpu).unwrap();
        Value { tensor, rows: Arc::new(Rows::of(lengths.iter().copied())) }
    }

    #[test]
    fn a_picture_stands_where_its_placeholders_are() {
        let (text, picture) =
            (value(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 3]), value(&[7.0, 8.0, 9.0], &[2, 1]));
        let both = inserted(0, &[5, 0, 6, 0, 0, 5], &text, &picture).unwrap();
        let rows: Vec<f32> = both.tensor.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(rows, [1.0, 7.0, 8.0, 3.0, 9.0, 6.0]);
        assert_eq!(both.rows.ranges(), [0..4, 4..6]);
        let kinds = [Kind::Text, Kind::Picture, Kind::Picture, Kind::Text, Kind::Picture, Kind::Text];
        assert_eq!(both.rows.kinds().unwrap(), kinds);
    }

    #[test]
    fn a_text_has_one_place_for_its_picture() {
        let (text, picture) = (value(&[1.0, 2.0, 3.0], &[3]), value(&[7.0], &[1]));
        for ids in [[1, 2, 3], [0, 1, 0]] {
            let failed = inserted(0, &ids, &text, &picture).unwrap_err();
            assert!(matches!(failed, Failure::NoPlace { sample: 0, placeholder: 0 }));
        }
    }

    #[test]
    fn tokens_behind_the_first_are_those_of_each_sample() {
        let left = behind(1, &value(&[1.0, 2.0, 3.0, 4.0], &[3, 1])).unwrap();
        assert_eq!(left.tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [2.0, 3.0]);
        assert_eq!(left.rows.ranges(), [0..2, 2..2]);
    }
}
