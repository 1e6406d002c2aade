/// The patches of one image, in raster order: column and row of patch i are i mod `columns` and ⌊i / `columns`⌋.
public struct PatchGrid: Sendable, Hashable {
    public let columns, rows: Int

    public init(columns: Int, rows: Int) {
        self.columns = columns
        self.rows = rows
    }

    public var count: Int { columns * rows }

    /// The column, x, of every patch.
    var xs: [Int] { (0..<count).map { $0 % columns } }

    /// The row, y, of every patch.
    var ys: [Int] { (0..<count).map { $0 / columns } }
}
