//! A picture in bytes, before it is prepared for a model.

/// Bytes of `[channels, height, width]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub values: Vec<u8>,
}

impl Picture {
    /// From bytes of `[height, width, channels]`.
    pub fn interleaved(channels: usize, height: usize, width: usize, bytes: &[u8]) -> Self {
        let channel = |at: usize| bytes.iter().skip(at).step_by(channels).copied();
        Self { channels, height, width, values: (0..channels).flat_map(channel).collect() }
    }

    /// With so many channels, if it can have them: grey is repeated, and of colours the luma of ITU-R 601-2 is taken, as Pillow
    /// does it.
    pub fn with_channels(self, channels: usize) -> Option<Self> {
        match (self.channels, channels) {
            (from, to) if from == to => Some(self),
            (1, to) => Some(Self { channels, values: self.values.repeat(to), ..self }),
            (3, 1) => {
                let size = self.height * self.width;
                let luma = |at: usize| {
                    let of =
                        |channel: usize, weight: u32| u32::from(self.values[channel * size + at]) * weight;
                    ((of(0, 19_595) + of(1, 38_470) + of(2, 7_471) + 0x8000) >> 16) as u8
                };
                Some(Self { channels: 1, values: (0..size).map(luma).collect(), ..self })
            }
            _ => None,
        }
    }

    /// Rows for columns.
    pub fn turned(&self) -> Self {
        let Self { channels, height, width, .. } = *self;
        let mut values = Vec::with_capacity(self.values.len());
        for plane in self.values.chunks_exact((height * width).max(1)) {
            for column in 0..width {
                values.extend(plane.iter().skip(column).step_by(width));
            }
        }
        Self { channels, height: width, width: height, values }
    }

    /// The middle, with black where it is larger than the picture.
    pub fn cropped(&self, height: usize, width: usize) -> Self {
        // As transformers rounds: the larger half of what is missing stands before, the smaller half of what is too much is cut.
        let from = |there: usize, wanted: usize| match there.checked_sub(wanted) {
            Some(more) => (more / 2) as isize,
            None => -((wanted - there).div_ceil(2) as isize),
        };
        let (top, left) = (from(self.height, height), from(self.width, width));
        let inside = |at: usize, from: isize, end: usize| at.checked_add_signed(from).filter(|at| *at < end);
        let mut values = vec![0; self.channels * height * width];
        for channel in 0..self.channels {
            for row in 0..height {
                let Some(source_row) = inside(row, top, self.height) else { continue };
                for column in 0..width {
                    let Some(source) = inside(column, left, self.width) else { continue };
                    values[(channel * height + row) * width + column] =
                        self.values[(channel * self.height + source_row) * self.width + source];
                }
            }
        }
        Self { channels: self.channels, height, width, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(height: usize, width: usize) -> Picture {
        let values = (1..=(height * width) as u8).collect();
        Picture { channels: 1, height, width, values }
    }

    #[test]
    fn the_middle_is_cut_out() {
        assert_eq!(counting(3, 4).cropped(1, 2).values, [6, 7]);
        assert_eq!(counting(2, 3).cropped(1, 2).values, [1, 2]);
    }

    #[test]
    fn what_is_missing_is_black() {
        let grown = counting(1, 2).cropped(2, 5);
        assert_eq!(grown.values, [0, 0, 0, 0, 0, 0, 0, 1, 2, 0]);
    }

    #[test]
    fn turning_twice_changes_nothing() {
        let picture = counting(2, 3);
        assert_eq!(picture.turned().values, [1, 4, 2, 5, 3, 6]);
        assert_eq!(picture.turned().turned(), picture);
    }

    #[test]
    fn colours_and_grey_become_each_other() {
        let grey = counting(1, 2).with_channels(3).unwrap();
        assert_eq!(grey.values, [1, 2, 1, 2, 1, 2]);
        let colours = Picture::interleaved(3, 1, 2, &[255, 0, 0, 10, 200, 30]);
        assert_eq!(colours.values, [255, 10, 0, 200, 0, 30]);
        // 0.299 R + 0.587 G + 0.114 B
        assert_eq!(colours.clone().with_channels(1).unwrap().values, [76, 124]);
        assert_eq!(colours.with_channels(4), None);
    }
}
