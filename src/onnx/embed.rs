//! What comes in: words, positions, segment types, pictures in patches; and what goes out of many tokens: one row of each sample.

use super::builder::{END, Name};
use super::lower::{CannotExport, IDS, Lowering, MASK, PIXELS, Rows, Value};
use super::proto::{Attribute, element};
use super::weight::Form;
use crate::graph::{SiteId, Weight};

impl Lowering<'_> {
    pub fn embedding(&mut self, site: SiteId, ids: &Value) -> Value {
        let table = self.table(site);
        ids.with(self.b.op("Gather", &[&table, IDS]))
    }

    /// How many rows a table has, and how wide they are.
    pub fn rows_of(&self, site: SiteId) -> [usize; 2] {
        let (rows, width) = self.graph.site_dims(site);
        [rows, width].map(|dim| self.extent(&dim))
    }

    /// The place of each real token in its text, 0 for padding in front: `[batch, tokens]`.
    pub fn places(&mut self, rows: &Rows) -> Name {
        if let Some(places) = &rows.places {
            return places.clone();
        }
        self.b.once("places".into(), |b| {
            let (axis, one, zero) = (b.int(1), b.int(1), b.int(0));
            let count = b.op("CumSum", &[MASK, &axis]);
            let places = b.op("Sub", &[&count, &one]);
            b.op("Max", &[&places, &zero])
        })
    }

    pub fn positions(&mut self, site: SiteId, offset: usize, x: &Value) -> Value {
        let table = self.table(site);
        let name = if x.rows.mask.is_some() {
            let mut places = self.places(&x.rows);
            if offset > 0 {
                let offset = self.b.int(offset as i64);
                places = self.b.op("Add", &[&places, &offset]);
            }
            self.b.op("Gather", &[&table, &places])
        } else {
            // Of pictures, which all have as many tokens: added to each by broadcasting.
            let count = self.b.extent(&x.name, 1);
            let first = self.b.ints(&[offset as i64]);
            let end = self.b.op("Add", &[&first, &count]);
            let rows = self.b.slice(&table, 0, &first, &end);
            self.b.unsqueeze(&rows, &[0])
        };
        x.with(name)
    }

    /// A table of a grid, resampled to the picture's: bicubic with a = -0.75, half-pixel centres and held ends, which are the names
    /// that ONNX has for what `runtime::grid` does.
    pub fn grid_positions(&mut self, site: SiteId, grid: [usize; 2], patch: [usize; 2], x: &Value) -> Value {
        let table = self.table(site);
        let width = self.rows_of(site)[1] as i64;
        let (first, second, end) = (self.b.ints(&[0]), self.b.ints(&[1]), self.b.ints(&[END]));
        let front = self.b.slice(&table, 0, &first, &second);
        let rows = self.b.slice(&table, 0, &second, &end);
        let square = self.b.reshape(&rows, &[1, grid[0] as i64, grid[1] as i64, width]);
        let square = self.b.transpose(&square, &[0, 3, 1, 2]);
        let patches = [2, 3].map(|side| {
            let pixels = self.b.extent(PIXELS, side);
            let patch = self.b.ints(&[patch[side as usize - 2] as i64]);
            self.b.op("Div", &[&pixels, &patch])
        });
        let front_dims = self.b.ints(&[1, width]);
        let sizes = self.b.concat(&[&front_dims, &patches[0], &patches[1]], 0);
        let attributes = vec![
            Attribute::text("mode", "cubic"),
            Attribute::float("cubic_coeff_a", -0.75),
            Attribute::text("coordinate_transformation_mode", "half_pixel"),
        ];
        let resized = self.b.op_with("Resize", &[&square, "", "", &sizes], attributes);
        let rows = self.b.transpose(&resized, &[0, 2, 3, 1]);
        let rows = self.b.reshape(&rows, &[-1, width]);
        let table = self.b.concat(&[&front, &rows], 0);
        x.with(self.b.unsqueeze(&table, &[0]))
    }

    /// Rows by segment type where there are several types, which the input then says; else the one that there is.
    pub fn types(&mut self, site: SiteId, x: &Value) -> Value {
        let table = self.table(site);
        let ids = match self.rows_of(site)[0] {
            0 | 1 => self.b.ints(&[0]),
            _ => self.token_types(),
        };
        x.with(self.b.op("Gather", &[&table, &ids]))
    }

    /// A convolution whose stride is its kernel, flattened to tokens.
    pub fn patches(&mut self, site: SiteId, x: &Value) -> Value {
        let graph = self.graph;
        let of = &graph.sites[site];
        let Weight::Dense(view) = &of.weight else { unreachable!("kernels are not factored") };
        let shape = graph.shape(&graph.params[view.param]);
        let sides: Vec<i64> = shape[2..].iter().map(|&side| side as i64).collect();
        let kernel = self.b.weight(view, Form::Shaped(shape.clone()));
        let bias = of.bias.as_ref().map(|bias| self.b.weight(bias, Form::Shaped(vec![shape[0]])));
        let mut inputs = vec![x.name.as_str(), &kernel];
        inputs.extend(bias.as_deref());
        let attributes = vec![Attribute::ints("kernel_shape", &sides), Attribute::ints("strides", &sides)];
        let maps = self.b.op_with("Conv", &inputs, attributes);
        let tokens = self.b.reshape(&maps, &[0, shape[0] as i64, -1]);
        let name = self.b.transpose(&tokens, &[0, 2, 1]);
        Value { name, rows: Rows::default() }
    }

    pub fn prepend(&mut self, site: SiteId, x: &Value) -> Result<Value, CannotExport> {
        if x.rows.mask.is_some() {
            return Err(self.cannot("a token in front of padded texts has no place in their mask"));
        }
        let token = self.vector(site);
        let (batch, one) = (self.b.extent(&x.name, 0), self.b.ints(&[1]));
        let width = self.b.extent(&x.name, 2);
        let shape = self.b.concat(&[&batch, &one, &width], 0);
        let token = self.b.op("Expand", &[&token, &shape]);
        Ok(x.with(self.b.concat(&[&token, &x.name], 1)))
    }

    /// The row of the real token of this number.
    pub fn token(&mut self, number: usize, x: &Value) -> Value {
        let Some(mask) = &x.rows.mask else {
            let at = self.b.int(number as i64);
            let axis = vec![Attribute::int("axis", 1)];
            return Value::pooled(self.b.op_with("Gather", &[&x.name, &at], axis));
        };
        // The first place at which so many real tokens were counted.
        let (axis, wanted) = (self.b.int(1), self.b.int(number as i64 + 1));
        let count = self.b.op("CumSum", &[mask, &axis]);
        let reached = self.b.op("Equal", &[&count, &wanted]);
        let reached = self.b.cast(&reached, element::FLOAT);
        let at = self.arg_max(&reached, 1, true);
        self.one_row(&x.name, &at)
    }

    /// The last real token's row.
    pub fn last(&mut self, x: &Value) -> Value {
        let count = self.b.extent(&x.name, 1);
        let Some(mask) = &x.rows.mask else {
            let one = self.b.ints(&[1]);
            let last = self.b.op("Sub", &[&count, &one]);
            let end = self.b.ints(&[END]);
            let row = self.b.slice(&x.name, 1, &last, &end);
            return Value::pooled(self.b.squeeze(&row, &[1]));
        };
        let places = self.b.range(&count);
        let marked = self.b.op("Mul", &[mask, &places]);
        let marked = self.b.cast(&marked, element::FLOAT);
        let at = self.arg_max(&marked, 1, true);
        self.one_row(&x.name, &at)
    }

    fn one_row(&mut self, x: &str, at: &str) -> Value {
        let row = self.b.rows(x, at);
        Value::pooled(self.b.squeeze(&row, &[1]))
    }

    /// Where the largest value of an axis is, the first of equal ones.
    pub fn arg_max(&mut self, x: &str, axis: i64, keep: bool) -> Name {
        let attributes = vec![Attribute::int("axis", axis), Attribute::int("keepdims", keep.into())];
        self.b.op_with("ArgMax", &[x], attributes)
    }

    /// The mean over real tokens, each as often as it stands for tokens.
    pub fn mean(&mut self, x: &Value) -> Value {
        let Rows { mask, sizes, .. } = &x.rows;
        let mask = mask.as_ref().map(|mask| self.b.cast(mask, element::FLOAT));
        let weights = match (mask, sizes) {
            (None, None) => return Value::pooled(self.b.reduce("ReduceMean", &x.name, 1, false)),
            (Some(mask), None) => mask,
            (None, Some(sizes)) => sizes.clone(),
            (Some(mask), Some(sizes)) => self.b.op("Mul", &[&mask, sizes]),
        };
        let weights = self.b.unsqueeze(&weights, &[-1]);
        let weighted = self.b.op("Mul", &[&x.name, &weights]);
        let (sum, all) = (self.b.sum(&weighted, 1, false), self.b.sum(&weights, 1, false));
        Value::pooled(self.b.op("Div", &[&sum, &all]))
    }
}
