//! Folders of pictures: a folder a class.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageReader};

use super::picture::Picture;
use crate::diagnostic::{Diagnostic, codes, list};
use crate::pass::Placed;
use crate::readers::source;

const ENDINGS: &[&str] = &[".png", ".jpg", ".jpeg"];

/// Pictures by class, in the order of their names.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Sorted.
    classes: Vec<String>,
    /// The number of its class among the sorted ones, and its file.
    pictures: Vec<(usize, PathBuf)>,
}

impl Folder {
    /// # Errors
    /// Where a folder cannot be read.
    pub fn open(path: Placed<String>) -> Result<Self, Diagnostic> {
        let root = PathBuf::from(&path.value);
        let mut classes = source::names(&path)?;
        classes.retain(|name| root.join(name).is_dir());
        let mut pictures = Vec::new();
        for (number, class) in classes.iter().enumerate() {
            let folder = root.join(class);
            let within = Placed { value: folder.display().to_string(), span: path.span };
            let names = source::names(&within)?;
            let is_picture = |name: &String| ENDINGS.iter().any(|ending| source::has_ending(name, ending));
            pictures
                .extend(names.iter().filter(|name| is_picture(name)).map(|name| (number, folder.join(name))));
        }
        Ok(Self { path: root, classes, pictures })
    }

    /// The folder of folders.
    pub fn root(&self) -> &Path {
        &self.path
    }

    pub fn count(&self) -> usize {
        self.pictures.len()
    }

    pub fn files(&self) -> Vec<PathBuf> {
        self.pictures.iter().map(|(_, path)| path.clone()).collect()
    }

    pub fn path(&self, number: usize) -> &Path {
        &self.pictures[number].1
    }

    /// The picture of a number below the count, and the number of its class in sorted order.
    ///
    /// # Errors
    /// Where it cannot be read or decoded.
    pub fn read(&self, number: usize) -> Result<(Picture, usize), Diagnostic> {
        let (class, path) = &self.pictures[number];
        Ok((decode(path)?, *class))
    }

    /// The model's number of each class. Where its config knows none of their names, they count in sorted order.
    ///
    /// # Errors
    /// Where it knows some only.
    pub fn numbers(&self, known: &BTreeMap<String, usize>) -> Result<Vec<usize>, Diagnostic> {
        let numbers: Vec<Option<usize>> =
            self.classes.iter().map(|class| known.get(class).copied()).collect();
        if numbers.iter().all(Option::is_none) {
            return Ok((0..self.classes.len()).collect());
        }
        let unknown: Vec<&str> =
            self.classes.iter().filter(|class| !known.contains_key(*class)).map(String::as_str).collect();
        if unknown.is_empty() {
            return Ok(numbers.into_iter().flatten().collect());
        }
        let message = format!(
            "of the folders of `{}` the model knows some, but not {}",
            self.path.display(),
            list(&unknown)
        );
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        let help = format!("the model's labels are {}", list(&names));
        Err(Diagnostic::new(&codes::DATA_LABEL, message).path(&self.path).help(help))
    }
}

/// The bytes of a picture. An alpha channel is left out, and so is what a camera says of the way up, as Pillow does.
fn decode(path: &Path) -> Result<Picture, Diagnostic> {
    let bad = |why: String| {
        Diagnostic::new(&codes::DATA_INVALID, format!("`{}` cannot be decoded: {why}", path.display()))
            .path(path)
    };
    let file = std::io::BufReader::new(source::open(path)?);
    let reader =
        ImageReader::new(file).with_guessed_format().map_err(|error| source::unread(path, &error))?;
    let decoded = reader.decode().map_err(|error| bad(error.to_string()))?;
    let (height, width) = (decoded.height() as usize, decoded.width() as usize);
    if height == 0 || width == 0 {
        return Err(bad("it has no pixels".into()));
    }
    let is_grey = matches!(
        decoded,
        DynamicImage::ImageLuma8(_)
            | DynamicImage::ImageLumaA8(_)
            | DynamicImage::ImageLuma16(_)
            | DynamicImage::ImageLumaA16(_)
    );
    Ok(match is_grey {
        true => Picture { channels: 1, height, width, values: decoded.into_luma8().into_raw() },
        false => Picture::interleaved(3, height, width, &decoded.into_rgb8().into_raw()),
    })
}
