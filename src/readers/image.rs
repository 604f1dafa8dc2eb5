//! `image(...)`: pictures, prepared as the model's own preprocessor config says.

mod folder;
mod idx;
mod part;
mod picture;
mod prepare;
mod resample;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::classes::classes;
use super::draw::{Draw, Items};
use super::source;
use crate::diagnostic::{Diagnostic, codes, list};
use crate::pass::{Count, DataKind, For, Input, Placed, Reader, Sample, Samples};
use crate::reader;
use folder::Folder;
use idx::Idx;
use part::PACKED;
use picture::Picture;
use prepare::Preparation;

const WHAT: &str = "picture";

reader! {
    /// Pictures from IDX files or folders, prepared as the model's `preprocessor_config.json` says.
    ///
    /// IDX files come in pairs, `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, as they are or packed as `.gz`; of packed
    /// ones the pictures that `shuffle` draws are held in memory. Folders are one a class, `cat/01.png`, of PNG or JPEG files, taken in the order of their names. A folder's label is what the model's config calls
    /// its name; where it knows none of the names, labels count the folders in sorted order.
    ///
    /// Of the preprocessor config `do_resize`, `size`, `resample` (2 bilinear, 3 bicubic), `do_center_crop`, `crop_size`,
    /// `do_rescale`, `rescale_factor`, `do_normalize`, `image_mean` and `image_std` are followed, in this order, as transformers
    /// follows them with Pillow; a size that is a number is a square, for CLIP and BiT the shortest edge. Before that a grey
    /// picture becomes a coloured one, all channels equal, or a coloured one grey (ITU-R 601-2), where the model takes it so;
    /// transparency is left out. Pixels are those of Pillow 12; JPEG files are decoded to
    /// within a few 255ths of what other decoders make of them.
    ///
    /// ```tamis
    /// data test = image("data/fashion-mnist", split: "test", samples: 2000)
    /// ```
    Image = "image" of Image
    {
        /// The directory.
        path: Placed<String>,
        /// The part of the data set: the pair of IDX files or the folder of classes with this word in its name. `test` is `t10k` too.
        split: Option<Placed<String>>,
        /// How many samples are taken: all where nothing is said.
        samples: Option<Placed<Count>>,
        /// What shuffling starts from.
        seed: u64 = "0",
        /// Whether samples are drawn in random order.
        shuffle: bool = "false",
    }
}

impl Reader for Image {
    fn describe(&self) -> String {
        let mut said = source::Said::new("image", &self.path.value);
        said.text("split", self.split.as_ref());
        said.number("samples", self.samples.as_ref().map(|it| it.value.0 as u64));
        said.number("shuffle", self.shuffle.then_some(self.seed));
        said.finish()
    }

    fn kind(&self) -> DataKind {
        SPEC.kind
    }

    fn files(&self) -> Vec<PathBuf> {
        self.pictures().map_or_else(|_| vec![self.path.value.clone().into()], |pictures| pictures.files())
    }

    fn look(&self) -> Result<(), Diagnostic> {
        let mut pictures = self.pictures()?;
        self.draw().suffices(pictures.count(), WHAT)?;
        pictures.read(0).map(drop)
    }

    fn has_labels(&self) -> bool {
        true
    }

    fn samples(&self, model: &For<'_>) -> Result<Samples, Diagnostic> {
        let pictures = self.pictures()?;
        let preparation = Preparation::of(model.dir)?;
        let labels = match &pictures {
            Pictures::Idx(_) => None,
            Pictures::Folder(folder) => {
                let numbers = folder.numbers(&classes(model.dir)?);
                Some(numbers.map_err(|error| error.or_at(self.path.span))?)
            }
        };
        let takes = model.picture;
        let numbers = self.draw().of(Box::new((0..pictures.count()).map(Ok)), WHAT)?;
        let read = pictures.in_order(numbers, self.shuffle)?;
        let sample = move |Read { picture, class, path }: Read| {
            let pixels = preparation.apply(picture, takes).map_err(|why| {
                let message = format!("a picture of `{}` {why}", path.display());
                Diagnostic::new(&codes::DATA_UNFIT, message).path(path)
            })?;
            let label = labels.as_ref().map_or(class, |labels| labels[class]);
            Ok(Sample { input: Input::Pixels(pixels), label: Some(label) })
        };
        Ok(Box::new(read.map(move |read| sample(read?))))
    }
}

impl Image {
    fn draw(&self) -> Draw {
        Draw::new(&self.samples, self.seed, self.shuffle)
    }

    fn pictures(&self) -> Result<Pictures, Diagnostic> {
        let names = source::names(&self.path)?;
        let mut images: Vec<String> = names.iter().filter(|name| idx::is_images(name)).cloned().collect();
        // A file that lies there unpacked too is one file.
        images
            .retain(|name| name.strip_suffix(PACKED).is_none_or(|plain| !names.iter().any(|it| it == plain)));
        let dir = Path::new(&self.path.value);
        if !images.is_empty() {
            let split = self.split.clone().map(|split| renamed(split, &images));
            let name = source::picked(&self.path, split.as_ref(), &images)?;
            return Idx::open(&dir.join(name)).map(Pictures::Idx);
        }
        let folders: Vec<String> = names.into_iter().filter(|name| dir.join(name).is_dir()).collect();
        let root = match &self.split {
            Some(_) => dir.join(source::picked(&self.path, self.split.as_ref(), &folders)?),
            None => dir.to_owned(),
        };
        let root = Placed { value: root.display().to_string(), span: self.path.span };
        let folder = Folder::open(root)?;
        if folder.count() == 0 {
            let message =
                format!("`{}` has neither IDX files nor folders of pictures", folder.root().display());
            let error = self.path.wrong(&codes::DATA_SPLIT, message).path(folder.root());
            return Err(match (&self.split, folders.as_slice()) {
                (None, [_, ..]) => {
                    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
                    let folders = list(&folders);
                    error.help(format!("`split` picks a folder of folders: there is {folders}"))
                }
                _ => error,
            });
        }
        Ok(Pictures::Folder(folder))
    }
}

/// MNIST and its kin call their test set after its ten thousand pictures.
fn renamed(split: Placed<String>, names: &[String]) -> Placed<String> {
    let is_known = names.iter().any(|name| source::says(name, &split.value));
    match split.value.as_str() {
        "test" if !is_known => Placed { value: "t10k".into(), ..split },
        _ => split,
    }
}

/// Pictures by number.
enum Pictures {
    Idx(Idx),
    Folder(Folder),
}

/// A picture as it is, the number of its class, and its file.
struct Read {
    picture: Picture,
    class: usize,
    path: PathBuf,
}

impl Pictures {
    fn count(&self) -> usize {
        match self {
            Self::Idx(idx) => idx.count,
            Self::Folder(folder) => folder.count(),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Idx(idx) => idx.files(),
            Self::Folder(folder) => folder.files(),
        }
    }

    fn read(&mut self, number: usize) -> Result<Read, Diagnostic> {
        let ((picture, class), path) = match self {
            Self::Idx(idx) => (idx.read(number)?, idx.path()),
            Self::Folder(folder) => (folder.read(number)?, folder.path(number)),
        };
        Ok(Read { picture, class, path: path.to_owned() })
    }

    /// The pictures of some numbers, in their order. Packed files are gone through once: shuffled pictures of theirs are held.
    fn in_order(mut self, numbers: Items<usize>, shuffled: bool) -> Result<Items<Read>, Diagnostic> {
        let is_packed = matches!(&self, Self::Idx(idx) if idx.is_packed());
        if !(shuffled && is_packed) {
            return Ok(Box::new(numbers.map(move |number| self.read(number?))));
        }
        let numbers: Vec<usize> = numbers.collect::<Result<_, _>>()?;
        let mut ascending = numbers.clone();
        ascending.sort_unstable();
        let read = ascending.into_iter().map(|number| Ok((number, self.read(number)?)));
        let mut held: BTreeMap<usize, Read> = read.collect::<Result<_, Diagnostic>>()?;
        let next = move |number| Ok(held.remove(&number).expect("each number is drawn once"));
        Ok(Box::new(numbers.into_iter().map(next)))
    }
}
