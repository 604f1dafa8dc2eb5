//! A picture's tokens among those of a text: where they stand, and which of them go. What `runtime::inserted` and
//! `runtime::reduce::picture` do of a sample, here in a loop over the batch.

use super::attention::Heads;
use super::builder::{END, Name};
use super::lower::{IDS, Lowering, Rows, Value};
use super::proto::{Attribute, ValueInfo, element};
use crate::graph::{Attention, PictureRule, Reduction, TokenCount};

/// What a row is of, as numbers.
const PICTURE: i64 = 1;
const KEY: i64 = 2;

/// The rows of one sample.
struct One {
    /// `[count, width]`
    x: Name,
    /// What each row is of, `[count]`.
    kinds: Name,
    /// Where each row stands, `[count]`.
    places: Name,
}

/// What a rule reads of one sample.
struct Seen {
    one: One,
    /// How much each token attends to each, averaged over heads, `[count, count]`; of the class token alone `[1, count]`.
    shares: Option<Name>,
}

impl Lowering<'_> {
    /// The rows of each sample from a number on.
    pub fn behind(&mut self, first: usize, x: &Value) -> Value {
        let first = self.b.ints(&[first as i64]);
        let mut tail = |rows: &str| self.from(rows, 1, &first);
        let Rows { mask, sizes, places, kinds } = &x.rows;
        let rows = Rows {
            mask: mask.as_deref().map(&mut tail),
            sizes: sizes.as_deref().map(&mut tail),
            places: places.as_deref().map(&mut tail),
            kinds: kinds.as_deref().map(&mut tail),
        };
        Value { name: tail(&x.name), rows }
    }

    /// The rows of each text with those of its picture in the place of the placeholders, which lie in one run.
    pub fn insert_picture(&mut self, placeholder: u32, text: &Value, picture: &Value) -> Value {
        let [words, patches] = [text, picture].map(|x| self.b.extent(&x.name, 1));
        let most = self.b.op("Add", &[&words, &patches]);
        self.each(text, &most, true, |this, number| {
            let (row, ids) = (this.real(text, &text.name, number), this.real(text, IDS, number));
            let token = this.b.int(placeholder.into());
            let is_placeholder = this.b.op("Equal", &[&ids, &token]);
            let at = this.marked(&is_placeholder);
            let one = this.b.ints(&[1]);
            let first = this.b.reduce("ReduceMin", &at, 0, true);
            let last = this.b.reduce("ReduceMax", &at, 0, true);
            let end = this.b.op("Add", &[&last, &one]);
            let zero = this.b.ints(&[0]);
            let (front, back) = (this.b.slice(&row, 0, &zero, &first), this.from(&row, 0, &end));
            let seen = this.real(picture, &picture.name, number);
            let kinds = match &picture.rows.kinds {
                Some(kinds) => this.real(picture, kinds, number),
                None => this.filled(PICTURE, &seen),
            };
            let [before, behind] = [&front, &back].map(|part| this.filled(0, part));
            let x = this.b.concat(&[&front, &seen, &back], 0);
            let kinds = this.b.concat(&[&before, &kinds, &behind], 0);
            let places = this.numbers(&x);
            One { x, kinds, places }
        })
    }

    /// Fewer tokens of each sample's picture, or the same ones and which of them are key.
    pub fn reduce_picture(
        &mut self,
        of: &Reduction,
        rule: PictureRule,
        heads: Heads,
        [x, query, key]: [&Value; 3],
    ) -> Value {
        let turned = (!matches!(rule, PictureRule::MergeWindows { .. })).then(|| {
            let of = &of.attention;
            [(query, heads.query), (key, heads.kv)].map(|(side, count)| {
                let rows = self.by_heads(&side.name, count, heads.dim);
                match &of.rope {
                    Some(rope) => {
                        let turns = self.turns(rope, heads.dim, &side.rows);
                        self.turned(&rows, &turns, heads.dim)
                    }
                    None => rows,
                }
            })
        });
        let most = self.b.extent(&x.name, 1);
        let has_text = x.rows.places.is_some();
        self.each(x, &most, has_text, |this, number| {
            let row = this.real(x, &x.name, number);
            let kinds = match &x.rows.kinds {
                Some(kinds) => this.real(x, kinds, number),
                None => this.filled(0, &row),
            };
            let places = match &x.rows.places {
                Some(places) => this.real(x, places, number),
                None => this.numbers(&row),
            };
            let shares = turned.as_ref().map(|[query, key]| {
                let [query, key] = [query, key].map(|side| this.real_heads(x, side, number));
                this.shares(&of.attention, rule, heads, &query, &key)
            });
            let seen = Seen { one: One { x: row, kinds, places }, shares };
            match rule {
                PictureRule::LastQuery => this.by_last_query(of.keep, &seen),
                PictureRule::ByText { global, individual, .. } => this.by_text([global, individual], &seen),
                PictureRule::MergeWindows { window, similarity, grid } => {
                    this.merge_windows(of.protected, window, similarity, grid, &seen.one)
                }
                PictureRule::Keys { share } => this.keys(of.protected, share, seen),
            }
        })
    }

    /// Each sample by itself, in a loop over the batch; then all of them as long as the longest, which is `most` at most. Texts are
    /// padded in front, so that the last token's row is the last one.
    fn each(
        &mut self,
        x: &Value,
        most: &str,
        in_front: bool,
        fill: impl FnOnce(&mut Self, &str) -> One,
    ) -> Value {
        let batch = self.b.extent(&x.name, 0);
        let batch = self.b.squeeze(&batch, &[0]);
        let go_on = self.b.bool(true);
        let (number, again) = (self.b.name("number"), self.b.name("go_on"));
        let input = vec![
            ValueInfo::new(&number, element::INT64, Vec::new()),
            ValueInfo::new(&again, element::BOOL, Vec::new()),
        ];
        let body = self.inside("sample", input, |this| {
            let again = this.b.op("Identity", &[&again]);
            let One { x, kinds, places } = fill(this, &number);
            let ones = this.filled(1, &x);
            let length = this.b.extent(&x, 0);
            let missing = this.b.op("Sub", &[most, &length]);
            let (zero, no_row, nothing) = (this.b.ints(&[0]), this.b.float(0.0), this.b.int(0));
            let pads = |this: &mut Self, rank: usize| {
                let mut parts = vec![zero.as_str(); 2 * rank];
                parts[if in_front { 0 } else { rank }] = &missing;
                this.b.concat(&parts, 0)
            };
            let (of_rows, of_numbers) = (pads(this, 2), pads(this, 1));
            let x = this.b.op("Pad", &[&x, &of_rows, &no_row]);
            let [mask, kinds, places] =
                [ones, kinds, places].map(|numbers| this.b.op("Pad", &[&numbers, &of_numbers, &nothing]));
            vec![again, x, mask, kinds, places]
        });
        let made: [Name; 4] = self.b.op_of("Loop", &[&batch, &go_on], vec![Attribute::graph("body", body)]);
        let lengths = self.b.sum(&made[1], 1, false);
        let longest = self.b.reduce("ReduceMax", &lengths, 0, true);
        let (first, end) = match in_front {
            true => (self.b.op("Neg", &[&longest]), self.b.ints(&[END])),
            false => (self.b.ints(&[0]), longest),
        };
        let [name, mask, kinds, places] = made.map(|made| self.b.slice(&made, 1, &first, &end));
        let rows =
            Rows { mask: Some(mask), sizes: None, places: in_front.then_some(places), kinds: Some(kinds) };
        Value { name, rows }
    }

    /// A sample's rows that are no padding, of something that has a row for each of `x`.
    fn real(&mut self, x: &Value, of: &str, number: &str) -> Name {
        let own = self.b.op("Gather", &[of, number]);
        self.real_of(x, own, number, 0)
    }

    /// The same of `[batch, heads, tokens, dim]`.
    fn real_heads(&mut self, x: &Value, of: &str, number: &str) -> Name {
        let own = self.b.op("Gather", &[of, number]);
        let own = self.real_of(x, own, number, 1);
        self.b.unsqueeze(&own, &[0])
    }

    fn real_of(&mut self, x: &Value, own: Name, number: &str, axis: i64) -> Name {
        let Some(mask) = &x.rows.mask else { return own };
        let mask = self.b.op("Gather", &[mask, number]);
        let real = self.marked(&mask);
        self.b.op_with("Gather", &[&own, &real], vec![Attribute::int("axis", axis)])
    }

    /// The places of what is not 0 in a list.
    fn marked(&mut self, list: &str) -> Name {
        let at = self.b.op("NonZero", &[list]);
        self.b.squeeze(&at, &[0])
    }

    /// A number for each row.
    fn filled(&mut self, number: i64, rows: &str) -> Name {
        let (number, count) = (self.b.int(number), self.b.extent(rows, 0));
        self.b.op("Expand", &[&number, &count])
    }

    fn numbers(&mut self, rows: &str) -> Name {
        let count = self.b.extent(rows, 0);
        self.b.range(&count)
    }

    /// Rows of one sample that stay, each in its place.
    fn at(&mut self, stay: &str, one: &One) -> One {
        let [x, kinds, places] =
            [&one.x, &one.kinds, &one.places].map(|rows| self.b.op("Gather", &[rows, stay]));
        One { x, kinds, places }
    }

    /// What queries of one sample attend to, averaged over heads: of the first one, of the last one, or of all.
    fn shares(&mut self, of: &Attention, rule: PictureRule, heads: Heads, query: &str, key: &str) -> Name {
        let [zero, one, last, end] = [0, 1, -1, END].map(|at| self.b.ints(&[at]));
        let query = match rule {
            PictureRule::Keys { .. } => self.b.slice(query, 2, &zero, &one),
            PictureRule::LastQuery => self.b.slice(query, 2, &last, &end),
            PictureRule::ByText { .. } | PictureRule::MergeWindows { .. } => query.to_owned(),
        };
        let seen = matches!(rule, PictureRule::ByText { .. }).then(|| {
            let count = self.b.extent(key, 2);
            let at = self.b.range(&count);
            let down = self.b.unsqueeze(&at, &[1]);
            let seen = self.b.op("GreaterOrEqual", &[&down, &at]);
            self.b.unsqueeze(&seen, &[0, 1])
        });
        let shares = self.attended(of, heads, &query, key, seen.as_deref(), None);
        let mean = self.b.reduce("ReduceMean", &shares, 1, false);
        self.b.squeeze(&mean, &[0])
    }

    /// The best of some places, by their scores in a list of one row: of equal ones the first.
    fn best(&mut self, scores: &str, among: &str, count: &str) -> Name {
        let scores = self.b.squeeze(scores, &[0]);
        let own = self.b.op("Gather", &[&scores, among]);
        let [_, order] = self.b.op_of("TopK", &[&own, count], vec![Attribute::int("axis", 0)]);
        self.b.op("Gather", &[among, &order])
    }

    /// Numbers, others of them at some places.
    fn put(&mut self, numbers: &str, at: &str, number: i64) -> Name {
        let count = self.b.extent(at, 0);
        let number = self.b.int(number);
        let these = self.b.op("Expand", &[&number, &count]);
        self.b.op("ScatterElements", &[numbers, at, &these])
    }

    /// FastV, arXiv:2403.06764, section 4.
    fn by_last_query(&mut self, keep: TokenCount, seen: &Seen) -> One {
        let one = &seen.one;
        let shares = seen.shares.as_ref().expect("its queries and keys were turned");
        let picture = self.marked(&one.kinds);
        let count = self.b.extent(&picture, 0);
        let left = self.left_of_picture(keep, &count);
        let best = self.best(shares, &picture, &left);
        let zero = self.b.int(0);
        let is_text = self.b.op("Equal", &[&one.kinds, &zero]);
        let stays = self.b.cast(&is_text, element::INT64);
        let stays = self.put(&stays, &best, 1);
        let stay = self.marked(&stays);
        self.at(&stay, one)
    }

    /// How many of a picture's tokens stay, as lists of one.
    fn left_of_picture(&mut self, keep: TokenCount, count: &str) -> Name {
        let none = self.b.ints(&[0]);
        let left = self.left_free(keep, &none, count);
        let one = self.b.ints(&[1]);
        let least = self.b.op("Min", &[count, &one]);
        self.b.op("Max", &[&left, &least])
    }

    /// MustDrop, arXiv:2411.10803, section 3.3.
    fn by_text(&mut self, [global, individual]: [f64; 2], seen: &Seen) -> One {
        let one = &seen.one;
        let shares = seen.shares.as_ref().expect("its queries and keys were turned");
        let [none, key] = [0, KEY].map(|number| self.b.int(number));
        let is_picture = self.b.op("Greater", &[&one.kinds, &none]);
        let is_picture = self.b.cast(&is_picture, element::INT64);
        let at = self.numbers(&one.x);
        let marked = self.b.op("Mul", &[&is_picture, &at]);
        let last = self.b.reduce("ReduceMax", &marked, 0, true);
        let is_behind = self.b.op("Greater", &[&at, &last]);
        let [picture, behind] = [&is_picture, &is_behind].map(|is| self.b.cast(is, element::FLOAT));
        let behind = self.b.unsqueeze(&behind, &[1]);
        let asked = self.b.op("Mul", &[shares, &behind]);
        let asked = self.b.op("Mul", &[&asked, &picture]);
        let (sums, most) = (self.b.sum(&asked, 0, false), self.b.reduce("ReduceMax", &asked, 0, false));
        let total = self.b.sum(&sums, 0, true);
        let [global, individual] = [global, individual].map(|least| self.b.float(least as f32));
        let least = self.b.op("Mul", &[&total, &global]);
        let hardly = self.b.op("Less", &[&sums, &least]);
        let by_none = self.b.op("Less", &[&most, &individual]);
        let goes = self.b.op("And", &[&hardly, &by_none]);
        let is_free = self.b.cast(&is_picture, element::BOOL);
        let is_key = self.b.op("Equal", &[&one.kinds, &key]);
        let is_held = self.b.op("Not", &[&is_key]);
        let goes = self.b.op("And", &[&goes, &is_free]);
        let goes = self.b.op("And", &[&goes, &is_held]);
        let stays = self.b.op("Not", &[&goes]);
        let stay = self.marked(&stays);
        let left = self.at(&stay, one);
        let places = self.numbers(&left.x);
        One { places, ..left }
    }

    /// MustDrop, section 3.2. Cosines are of f64, as `runtime` has them.
    fn merge_windows(
        &mut self,
        front: usize,
        window: usize,
        similarity: f64,
        [rows, columns]: [usize; 2],
        one: &One,
    ) -> One {
        let side = window * window;
        let corners = (0..rows)
            .step_by(window)
            .flat_map(|top| (0..columns).step_by(window).map(move |left| (top, left)));
        let windows: Vec<i64> = corners
            .flat_map(|(top, left)| {
                (0..side).map(move |it| ((top + it / window) * columns + left + it % window) as i64)
            })
            .collect();
        let windows = self.b.ints(&windows);
        let windows = self.b.reshape(&windows, &[-1, side as i64]);
        let (zero, first) = (self.b.ints(&[0]), self.b.ints(&[front as i64]));
        let head = self.b.slice(&one.x, 0, &zero, &first);
        let patches = self.from(&one.x, 0, &first);
        let grouped = self.b.op("Gather", &[&patches, &windows]);
        let exact = self.b.cast(&grouped, element::DOUBLE);
        let length = self.b.reduce("ReduceL2", &exact, 2, true);
        let least = self.b.double(1e-12);
        let length = self.b.op("Max", &[&length, &least]);
        let unit = self.b.op("Div", &[&exact, &length]);
        // All pairs of a window, and a row with itself: the square of the sum less the sum of squares.
        let sum = self.b.sum(&unit, 1, false);
        let all = self.b.reduce("ReduceSumSquare", &sum, 1, false);
        let own = self.b.op("Mul", &[&unit, &unit]);
        let own = self.b.sum(&own, 2, false);
        let own = self.b.sum(&own, 1, false);
        let others = self.b.op("Sub", &[&all, &own]);
        let pairs = self.b.double((side * (side - 1)) as f64);
        let mean = self.b.op("Div", &[&others, &pairs]);
        let similarity = self.b.double(similarity);
        let is_alike = self.b.op("GreaterOrEqual", &[&mean, &similarity]);
        let alike = self.marked(&is_alike);
        let merged = self.b.op("Gather", &[&grouped, &alike]);
        let merged = self.b.reduce("ReduceMean", &merged, 1, false);
        let gone = self.b.op("Gather", &[&windows, &alike]);
        let gone = self.b.reshape(&gone, &[-1]);
        let alone = self.filled(1, &patches);
        let alone = self.put(&alone, &gone, 0);
        let alone = self.marked(&alone);
        let alone = self.b.op("Gather", &[&patches, &alone]);
        let x = self.b.concat(&[&head, &merged, &alone], 0);
        One { kinds: self.filled(0, &x), places: self.numbers(&x), x }
    }

    /// MustDrop, section 3.2: none goes, and some are marked.
    fn keys(&mut self, front: usize, share: f64, seen: Seen) -> One {
        let shares = seen.shares.as_ref().expect("its queries and keys are there");
        let one = seen.one;
        let (all, first) = (self.numbers(&one.x), self.b.ints(&[front as i64]));
        let patches = self.from(&all, 0, &first);
        let (count, none) = (self.b.extent(&patches, 0), self.b.ints(&[0]));
        let left = self.left_free(TokenCount::Share(share), &none, &count);
        let best = self.best(shares, &patches, &left);
        let kinds = self.filled(PICTURE, &one.x);
        One { kinds: self.put(&kinds, &best, KEY), ..one }
    }
}
