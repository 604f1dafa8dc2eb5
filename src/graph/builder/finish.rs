//! The end of building: what the checkpoint holds besides the weights.

use super::super::axis::{AxisId, Dim, Role};
use super::super::param::{Name, NamePart, Param};
use super::unify::unified;
use super::{BuildError, Builder, Graph, Header};

impl Builder<'_> {
    /// The graph, or every disagreement with the checkpoint.
    pub fn finish(mut self) -> Result<Graph, Vec<BuildError>> {
        self.take_buffers_and_extras();
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let same: Vec<AxisId> = self.graph.axes.ids().map(|axis| self.find(axis)).collect();
        Ok(unified(self.graph, |axis| same[axis.index()]))
    }

    fn take_buffers_and_extras(&mut self) {
        let Some(headers) = self.headers else { return };
        let used = std::mem::take(&mut self.used);
        for (name, header) in headers.iter().filter(|(name, _)| !used.contains(*name)) {
            let (name, inside) = self.numbered(name);
            let tensor = name.resolve();
            if inside && self.buffers.iter().any(|suffix| tensor.ends_with(suffix)) {
                self.buffer(name, header);
            } else {
                let member = self.member_of(&name);
                self.errors.push(BuildError::Extra { tensor, shape: header.shape.clone(), member });
            }
        }
    }

    fn buffer(&mut self, name: Name, header: &Header) {
        let (outer, root) = (self.node, self.graph.tree.root());
        self.node = root;
        let dims = header.shape.iter().map(|&extent| Dim::from(self.plain_axis(Role::Fixed, extent, None)));
        let dims = dims.collect();
        self.node = outer;
        self.graph.params.push(Param { name, dtype: header.dtype, dims, aliases: Vec::new(), buffer: true });
    }

    /// A name with the number of its layer as a member, and whether there is such a layer.
    fn numbered(&self, name: &str) -> (Name, bool) {
        let found = self.lists.iter().find_map(|(prefix, axis)| {
            let (number, tail) = name.strip_prefix(prefix.as_str())?.split_once('.')?;
            let number = number.parse().ok()?;
            let parts = vec![
                NamePart::Text(prefix.clone()),
                NamePart::Member(*axis, number),
                NamePart::Text(format!(".{tail}")),
            ];
            // A number that is written otherwise, `07`, names another tensor.
            let (parts, inside) = (Name::new(parts), number < self.graph.extent(*axis).max);
            (parts.resolve() == name).then_some((parts, inside))
        });
        found.unwrap_or_else(|| (Name::new(vec![NamePart::Text(name.into())]), true))
    }
}
