//! Products with weights, norms over features, and activations.

use super::builder::Name;
use super::lower::Lowering;
use super::proto::Attribute;
use super::weight::Form;
use crate::graph::{Activation, SiteId, View, Weight};

impl Lowering<'_> {
    /// `x W^T + b`; factors one after the other. `rank` is the number of dims of `x`.
    pub fn linear(&mut self, site: SiteId, x: &str, rank: usize) -> Name {
        let graph = self.graph;
        let of = &graph.sites[site];
        let product = match &of.weight {
            Weight::Dense(view) => self.product(x, view, of.transposed),
            Weight::Factored { left, right, rest } => {
                let inner = self.product(x, right, false);
                let product = self.product(&inner, left, false);
                match rest {
                    Some(rest) => {
                        let beside = self.product(x, &rest.view, false);
                        let outputs = self.extent(&graph.site_dims(site).0);
                        let beside = self.spread(&beside, &rest.rows, outputs, rank);
                        self.b.op("Add", &[&product, &beside])
                    }
                    None => product,
                }
            }
        };
        match &of.bias {
            Some(bias) => {
                let bias = self.b.weight(bias, Form::Shaped(vec![graph.view_elements(bias)]));
                self.b.op("Add", &[&product, &bias])
            }
            None => product,
        }
    }

    fn product(&mut self, x: &str, view: &View, transposed: bool) -> Name {
        let table = Form::Rows { transposed };
        let weight = if self.b.weights.has(view, &table) {
            // A head that is the table of words: one weight in the file, turned when it is loaded.
            let table = self.b.weight(view, table);
            self.b.transpose(&table, &[1, 0])
        } else {
            self.b.weight(view, Form::Columns { transposed })
        };
        self.b.op("MatMul", &[x, &weight])
    }

    /// Puts features at their places among more, with zeros at the others.
    fn spread(&mut self, x: &str, places: &[usize], count: usize, rank: usize) -> Name {
        let mut pads = vec![0; 2 * rank];
        pads[2 * rank - 1] = 1;
        let pads = self.b.ints(&pads);
        let padded = self.b.op("Pad", &[x, &pads]);
        let mut from = vec![places.len() as i64; count];
        places.iter().enumerate().for_each(|(at, &place)| from[place] = at as i64);
        let from = self.b.ints(&from);
        self.b.op_with("Gather", &[&padded, &from], vec![Attribute::int("axis", -1)])
    }

    /// A table of rows.
    pub fn table(&mut self, site: SiteId) -> Name {
        let of = &self.graph.sites[site];
        match &of.weight {
            Weight::Dense(view) => self.b.weight(view, Form::Rows { transposed: of.transposed }),
            Weight::Factored { .. } => unreachable!("tables are not factored"),
        }
    }

    /// The numbers of a norm or a scale.
    pub fn vector(&mut self, site: SiteId) -> Name {
        let graph = self.graph;
        match &graph.sites[site].weight {
            Weight::Dense(view) => self.b.weight(view, Form::Shaped(vec![graph.view_elements(view)])),
            Weight::Factored { .. } => unreachable!("vectors are not factored"),
        }
    }

    /// How many features are normed together.
    fn normed(&self, site: SiteId) -> usize {
        let views = self.graph.matrix_views(site).next();
        views.map_or(1, |view| self.graph.view_elements(view))
    }

    pub fn layer_norm(&mut self, site: SiteId, eps: f64, x: &str, width: usize) -> Name {
        let scale = self.vector(site);
        let bias = self.graph.sites[site].bias.clone();
        let bias = bias.map(|bias| {
            let elements = self.graph.view_elements(&bias);
            self.b.weight(&bias, Form::Shaped(vec![elements]))
        });
        self.by_head(site, x, width, |this, x| {
            let attributes = vec![Attribute::int("axis", -1), Attribute::float("epsilon", eps as f32)];
            match &bias {
                Some(bias) => this.b.op_with("LayerNormalization", &[x, &scale, bias], attributes),
                None => this.b.op_with("LayerNormalization", &[x, &scale], attributes),
            }
        })
    }

    /// ONNX has an RMS norm from opset 23 on, which few run yet.
    pub fn rms_norm(&mut self, site: SiteId, eps: f64, x: &str, width: usize) -> Name {
        let scale = self.vector(site);
        self.by_head(site, x, width, |this, x| {
            let squares = this.b.op("Mul", &[x, x]);
            let mean = this.b.reduce("ReduceMean", &squares, -1, true);
            let eps = this.b.float(eps as f32);
            let mean = this.b.op("Add", &[&mean, &eps]);
            let length = this.b.op("Sqrt", &[&mean]);
            let unit = this.b.op("Div", &[x, &length]);
            this.b.op("Mul", &[&unit, &scale])
        })
    }

    /// A norm that is narrower than the features is of each head by itself.
    fn by_head(
        &mut self,
        site: SiteId,
        x: &str,
        width: usize,
        norm: impl FnOnce(&mut Self, &str) -> Name,
    ) -> Name {
        let own = self.normed(site);
        if own == width || own == 0 {
            return norm(self, x);
        }
        let heads = self.b.reshape(x, &[0, 0, (width / own) as i64, own as i64]);
        let normed = norm(self, &heads);
        self.b.reshape(&normed, &[0, 0, width as i64])
    }

    pub fn activation(&mut self, of: Activation, x: &str) -> Name {
        match of {
            Activation::Relu => self.b.op("Relu", &[x]),
            Activation::Tanh => self.b.op("Tanh", &[x]),
            Activation::Sigmoid => self.b.op("Sigmoid", &[x]),
            Activation::Silu => {
                let gate = self.b.op("Sigmoid", &[x]);
                self.b.op("Mul", &[x, &gate])
            }
            // Gaussian error linear units (arXiv:1606.08415), an operator of its own from opset 20 on.
            Activation::Gelu => {
                let root = self.b.float(std::f32::consts::SQRT_2);
                let inner = self.b.op("Div", &[x, &root]);
                let inner = self.b.op("Erf", &[&inner]);
                self.half_of_one_more(x, &inner)
            }
            Activation::GeluTanh => {
                let (cubic, factor) =
                    (self.b.float(0.044_715), self.b.float((2.0 / std::f32::consts::PI).sqrt()));
                let square = self.b.op("Mul", &[x, x]);
                let cube = self.b.op("Mul", &[&square, x]);
                let cube = self.b.op("Mul", &[&cube, &cubic]);
                let inner = self.b.op("Add", &[x, &cube]);
                let inner = self.b.op("Mul", &[&inner, &factor]);
                let inner = self.b.op("Tanh", &[&inner]);
                self.half_of_one_more(x, &inner)
            }
        }
    }

    /// `x (1 + inner) / 2`, in the order in which the runtimes' fusions look for it.
    fn half_of_one_more(&mut self, x: &str, inner: &str) -> Name {
        let (one, half) = (self.b.float(1.0), self.b.float(0.5));
        let inner = self.b.op("Add", &[inner, &one]);
        let product = self.b.op("Mul", &[x, &inner]);
        self.b.op("Mul", &[&product, &half])
    }
}
