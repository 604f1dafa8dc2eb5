//! What the model's `preprocessor_config.json` says is done to a picture: resize, crop, rescale, normalize, in this order.

use std::path::Path;

use serde_json::Value;

use super::picture::Picture;
use super::resample::{Filter, resample};
use crate::checkpoint::Config;
use crate::diagnostic::{Diagnostic, codes};
use crate::pass::{Pixels, Sides, Takes};

const FILE: &str = "preprocessor_config.json";

/// Larger pictures are no input of a model.
const LONGEST_EDGE: usize = 1 << 14;

/// Processors that took a plain number to be the shortest edge, when sizes were plain numbers.
const BY_SHORTEST_EDGE: &[&str] = &["CLIP", "ChineseCLIP", "Bit"];
/// Processors that resize by a cubic where their config does not say how.
const CUBIC: &[&str] = &["CLIP", "ChineseCLIP", "Bit", "DeiT"];

#[derive(Debug, Clone, PartialEq)]
pub struct Preparation {
    resize: Option<(Size, Filter)>,
    /// Height and width of the middle.
    crop: Option<(usize, usize)>,
    /// What a byte is multiplied with.
    factor: Option<f64>,
    normalize: Option<Normalize>,
    /// Whether pictures become coloured, where the model does not say how many channels it takes.
    colours: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Exactly {
        height: usize,
        width: usize,
    },
    /// The other edge keeps its proportion.
    ShortestEdge(usize),
}

/// A number a channel, or one for all.
#[derive(Debug, Clone, PartialEq)]
struct Normalize {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Preparation {
    /// # Errors
    /// Where the model has no such file, or one that asks for something else.
    pub fn of(model: &Path) -> Result<Self, Diagnostic> {
        let path = model.join(FILE);
        if !path.is_file() {
            let message =
                format!("`{}` has no `{FILE}`, which says how pictures are prepared", model.display());
            return Err(Diagnostic::new(&codes::PREPROCESSOR_MISSING, message).path(model));
        }
        Self::read(&Config::read(&path)?)
    }

    fn read(config: &Config) -> Result<Self, Diagnostic> {
        let kind = config.str_or("image_processor_type", config.str_or("feature_extractor_type", "")?)?;
        let is = |kinds: &[&str]| kinds.iter().any(|begin| kind.starts_with(begin));
        let resize = match config.bool_or("do_resize", config.has("size"))? {
            true => Some((size(config, is(BY_SHORTEST_EDGE))?, filter(config, is(CUBIC))?)),
            false => None,
        };
        let crop = match config.bool_or("do_center_crop", false)? {
            true => Some(edges(config, "crop_size")?),
            false => None,
        };
        let factor = match config.bool_or("do_rescale", true)? {
            true => Some(config.f64_or("rescale_factor", 1.0 / 255.0)?),
            false => None,
        };
        let normalize = match config.bool_or("do_normalize", config.has("image_mean"))? {
            true => Some(Normalize {
                mean: numbers(config, "image_mean")?,
                deviation: numbers(config, "image_std")?,
            }),
            false => None,
        };
        if let Some(Normalize { deviation, .. }) = &normalize
            && deviation.contains(&0.0)
        {
            return Err(config.field_error("image_std", "`image_std` is zero, and pixels are divided by it"));
        }
        Ok(Self { resize, crop, factor, normalize, colours: config.bool_or("do_convert_rgb", false)? })
    }

    /// The picture as the model takes it.
    ///
    /// # Errors
    /// Why the model cannot take it.
    pub fn apply(&self, picture: Picture, takes: Option<Takes>) -> Result<Pixels, String> {
        let there = picture.channels;
        let channels = takes.map_or(if self.colours { 3 } else { there }, |takes| takes.channels);
        let mut picture = picture
            .with_channels(channels)
            .ok_or_else(|| format!("has {there} channels, and the model takes {channels}"))?;
        if let Some((size, filter)) = self.resize {
            let (height, width) = size.of(&picture);
            if height > LONGEST_EDGE || width > LONGEST_EDGE {
                return Err(format!("would become {height} x {width} pixels"));
            }
            picture = resample(&picture, height, width, filter);
        }
        if let Some((height, width)) = self.crop {
            picture = picture.cropped(height, width);
        }
        let Picture { height, width, values, .. } = picture;
        let wanted = match takes.map(|takes| takes.sides) {
            Some(Sides::Exactly(sides)) if sides != [height, width] => Some(("", sides)),
            Some(Sides::AtLeast(sides)) if height < sides[0] || width < sides[1] => {
                Some(("at least ", sides))
            }
            _ => None,
        };
        if let Some((least, [rows, columns])) = wanted {
            return Err(format!(
                "is {height} x {width} pixels as `{FILE}` prepares it, and the model takes {least}{rows} x {columns}"
            ));
        }
        let values = match self.factor {
            Some(factor) => values.into_iter().map(|byte| (f64::from(byte) * factor) as f32).collect(),
            None => values.into_iter().map(f32::from).collect(),
        };
        let mut pixels = Pixels { channels, height, width, values };
        if let Some(normalize) = &self.normalize {
            normalize.apply(&mut pixels)?;
        }
        Ok(pixels)
    }
}

impl Size {
    fn of(self, picture: &Picture) -> (usize, usize) {
        let Picture { height, width, .. } = *picture;
        match self {
            Self::Exactly { height, width } => (height, width),
            // transformers cuts towards zero, in floating point.
            Self::ShortestEdge(edge) => {
                let longer = |long: usize, short: usize| ((edge * long) as f64 / short as f64) as usize;
                if width <= height { (longer(height, width), edge) } else { (edge, longer(width, height)) }
            }
        }
    }
}

impl Normalize {
    fn apply(&self, pixels: &mut Pixels) -> Result<(), String> {
        let of = |numbers: &[f32], channel: usize| match numbers {
            [all] => Some(*all),
            each if each.len() == pixels.channels => Some(each[channel]),
            _ => None,
        };
        let size = pixels.height * pixels.width;
        for channel in 0..pixels.channels {
            let (mean, deviation) =
                of(&self.mean, channel).zip(of(&self.deviation, channel)).ok_or_else(|| {
                    format!(
                        "has {} channels, and `{FILE}` a mean for {} and a deviation for {}",
                        pixels.channels,
                        self.mean.len(),
                        self.deviation.len()
                    )
                })?;
            for value in &mut pixels.values[channel * size..(channel + 1) * size] {
                *value = (*value - mean) / deviation;
            }
        }
        Ok(())
    }
}

fn size(config: &Config, by_shortest_edge: bool) -> Result<Size, Diagnostic> {
    match config.get("size") {
        Some(Value::Object(fields)) if fields.contains_key("shortest_edge") => {
            if config.has("size.longest_edge") {
                let message = "a `size` by both edges is not supported";
                return Err(config.field_error("size", message));
            }
            Ok(Size::ShortestEdge(edge(config, "size.shortest_edge")?))
        }
        Some(Value::Number(_)) if by_shortest_edge => Ok(Size::ShortestEdge(edge(config, "size")?)),
        _ => {
            let (height, width) = edges(config, "size")?;
            Ok(Size::Exactly { height, width })
        }
    }
}

/// A height and a width, or one number for both.
fn edges(config: &Config, key: &str) -> Result<(usize, usize), Diagnostic> {
    match config.get(key) {
        Some(Value::Object(_)) => {
            Ok((edge(config, &format!("{key}.height"))?, edge(config, &format!("{key}.width"))?))
        }
        _ => edge(config, key).map(|edge| (edge, edge)),
    }
}

fn edge(config: &Config, key: &str) -> Result<usize, Diagnostic> {
    match config.usize(key)? {
        edge @ 1..=LONGEST_EDGE => Ok(edge),
        edge => Err(config.field_error(key, format!("`{key}` is {edge}: no picture has such an edge"))),
    }
}

fn filter(config: &Config, cubic: bool) -> Result<Filter, Diagnostic> {
    match config.usize_or("resample", if cubic { 3 } else { 2 })? {
        2 => Ok(Filter::Bilinear),
        3 => Ok(Filter::Bicubic),
        other => {
            let message = format!("`resample` is {other}: bilinear, 2, and bicubic, 3, are supported");
            Err(config.field_error("resample", message))
        }
    }
}

fn numbers(config: &Config, key: &str) -> Result<Vec<f32>, Diagnostic> {
    if let Some(Value::Number(_)) = config.get(key) {
        return Ok(vec![config.f64(key)? as f32]);
    }
    let numbers: Option<Vec<f32>> =
        config.list(key)?.iter().map(|value| value.as_f64().map(|number| number as f32)).collect();
    numbers
        .filter(|numbers| !numbers.is_empty())
        .ok_or_else(|| config.field_error(key, format!("`{key}` has to be a number a channel")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preparation(text: &str) -> Result<Preparation, Diagnostic> {
        Preparation::read(&Config::parse(FILE, text).unwrap())
    }

    #[test]
    fn sizes_are_read_in_each_form() {
        let size = |text: &str| preparation(text).unwrap().resize.unwrap().0;
        assert_eq!(size(r#"{"size": 8}"#), Size::Exactly { height: 8, width: 8 });
        assert_eq!(size(r#"{"size": {"height": 8, "width": 6}}"#), Size::Exactly { height: 8, width: 6 });
        assert_eq!(size(r#"{"size": {"shortest_edge": 8}}"#), Size::ShortestEdge(8));
        let clip = r#"{"size": 8, "feature_extractor_type": "CLIPFeatureExtractor"}"#;
        assert_eq!(size(clip), Size::ShortestEdge(8));
        assert_eq!(preparation(clip).unwrap().resize.unwrap().1, Filter::Bicubic);
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for text in [
            r#"{"size": 0}"#,
            r#"{"size": {"longest_edge": 8}}"#,
            r#"{"size": {"shortest_edge": 8, "longest_edge": 9}}"#,
            r#"{"size": 8, "resample": 0}"#,
            r#"{"do_resize": true}"#,
            r#"{"do_center_crop": true}"#,
            r#"{"do_normalize": true}"#,
            r#"{"image_mean": [0.5], "image_std": [0]}"#,
        ] {
            assert_eq!(preparation(text).unwrap_err().code, &codes::CONFIG_FIELD, "{text}");
        }
    }

    #[test]
    fn the_longer_edge_keeps_its_proportion() {
        let picture = |height, width| Picture { channels: 1, height, width, values: vec![0; height * width] };
        assert_eq!(Size::ShortestEdge(5).of(&picture(7, 3)), (11, 5));
        assert_eq!(Size::ShortestEdge(5).of(&picture(3, 7)), (5, 11));
    }

    #[test]
    fn pixels_are_rescaled_then_normalized_by_channel() {
        let text = r#"{"image_mean": [0.5, 0], "image_std": [0.5, 2]}"#;
        let picture = Picture { channels: 2, height: 1, width: 2, values: vec![0, 255, 255, 0] };
        let pixels = preparation(text).unwrap().apply(picture, None).unwrap();
        assert_eq!(pixels.values, [-1.0, 1.0, 0.5, 0.0]);
    }

    #[test]
    fn what_the_model_cannot_take_is_refused() {
        let picture = || Picture { channels: 3, height: 2, width: 2, values: vec![0; 12] };
        let apply = |text: &str, takes| preparation(text).unwrap().apply(picture(), takes);
        let exactly = |channels, sides| Some(Takes { channels, sides: Sides::Exactly(sides) });
        let at_least = |sides| Some(Takes { channels: 3, sides: Sides::AtLeast(sides) });
        assert!(apply("{}", exactly(1, [2, 2])).is_ok());
        assert!(apply("{}", exactly(4, [2, 2])).is_err());
        assert!(apply("{}", exactly(3, [2, 3])).is_err());
        assert!(apply("{}", at_least([1, 2])).is_ok());
        assert!(apply("{}", at_least([2, 3])).is_err());
        assert!(apply(r#"{"image_mean": [0, 0], "image_std": [1, 1]}"#, None).is_err());
    }
}
