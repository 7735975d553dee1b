//! What is joined belongs together (union-find, with the smallest member as the root).

pub(crate) struct Union(Vec<usize>);

impl Union {
    pub(crate) fn new(members: usize) -> Self {
        Self((0..members).collect())
    }

    pub(crate) fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one.max(other)] = one.min(other);
    }

    pub(crate) fn root(&mut self, member: usize) -> usize {
        let mut at = member;
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    /// One number a member, the same for all that are joined, from 0 in order of first appearance.
    pub(crate) fn numbers(&mut self) -> Vec<u32> {
        let mut numbers = vec![0; self.0.len()];
        let mut next = 0;
        for member in 0..self.0.len() {
            let root = self.root(member); // at most `member`, so numbered already unless it is itself
            numbers[member] = if root == member {
                next += 1;
                next - 1
            } else {
                numbers[root]
            };
        }
        numbers
    }
}
