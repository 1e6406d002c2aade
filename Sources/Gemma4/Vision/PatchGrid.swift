/// The grid of patches of one image, in raster order: column and row of patch i are i mod `columns` and ⌊i /
/// `columns`⌋.
package struct PatchGrid: Sendable, Hashable {
    package let columns, rows: Int

    package init(columns: Int, rows: Int) {
        self.columns = columns
        self.rows = rows
    }

    package var count: Int { columns * rows }

    /// The column, x, of every patch.
    var xs: [Int] { (0..<count).map { $0 % columns } }

    /// The row, y, of every patch.
    var ys: [Int] { (0..<count).map { $0 / columns } }
}
