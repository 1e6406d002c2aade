import CKernels

/// A product for many tokens, out[t, r] = Σ_c weight[r, c] · x[t, c], in tiles that threads share.
///
/// Panels of 16 tokens are multiplied by blocks of the weight, converted to f32: `blockColumns` columns of a panel
/// stay in the first-level cache, a block of the weight in the second. Each sum adds partial sums over `blockColumns`
/// columns, in order, whatever the tile: it depends neither on other tokens and rows nor on the number of threads.
struct PanelProduct {
    /// 16 KB of a panel and, with `tileRows`, 96 KB of the weight.
    private static let blockColumns = Int(PANEL_COLUMNS)
    /// A multiple of the rows whose sums stay in registers, on every instruction set.
    private static let tileRows = 96
    /// Maximum panels per tile, whose sums take 240 KB; minimum tiles per thread.
    private static let largestTile = 40, tilesPerThread = 8

    let tokens: Int
    let weight: Tensor
    /// Clamps of the activations and of the result.
    private let input, output: Clamp
    private let tilePanels: Int

    init(tokens: Int, _ weight: Tensor, input: Clamp = .none, output: Clamp = .none, threads: Int) {
        (self.tokens, self.weight, self.input, self.output) = (tokens, weight, input, output)
        let panels = (tokens + panelRows - 1) / panelRows
        let rowTiles = (weight.rows + Self.tileRows - 1) / Self.tileRows
        // Tiles of about equal size, without a small remainder.
        let wanted = (Self.tilesPerThread * threads + rowTiles - 1) / rowTiles
        let panelTiles = max(min(wanted, panels), (panels + Self.largestTile - 1) / Self.largestTile)
        tilePanels = (panels + panelTiles - 1) / panelTiles
    }

    private var columns: Int { weight.columns }
    private var kernels: kernel_set { weight.device.kernels.table }
    private var panels: Int { (tokens + panelRows - 1) / panelRows }
    private var rowTiles: Int { (weight.rows + Self.tileRows - 1) / Self.tileRows }
    var tileCount: Int { rowTiles * ((panels + tilePanels - 1) / tilePanels) }

    /// The panels and rows of one tile; consecutive tiles have the same panels.
    subscript(tile: Int) -> (panels: Range<Int>, rows: Range<Int>) {
        let (panelTile, rowTile) = tile.quotientAndRemainder(dividingBy: rowTiles)
        let (firstPanel, firstRow) = (panelTile * tilePanels, rowTile * Self.tileRows)
        return (
            firstPanel..<min(panels, firstPanel + tilePanels), firstRow..<min(weight.rows, firstRow + Self.tileRows)
        )
    }

    /// - Parameters:
    ///   - x: `[tokens, columns]`.
    ///   - out: `[tokens, rows]`.
    func run(_ x: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>) {
        let device = weight.device
        device.withScratch(panels * panelRows * columns) { interleaved in
            device.threads.parallelFor(panels, grain: 2) { range in
                for panel in range { arrange(panel, of: x, into: interleaved) }
            }
            let block = Self.tileRows * Self.blockColumns
            device.parallelFor(tileCount, scratch: block + tilePanels * Self.tileRows * panelRows) { tile, scratch in
                multiply(tile, interleaved, scratch, sums: scratch + block, into: out)
            }
        }
    }

    /// The offset of `blockColumns` columns of a panel. The first columns of all panels precede the next columns of
    /// all panels, in the order in which a tile reads them.
    private func offset(panel: Int, column: Int) -> Int {
        (column * panels + panel * min(Self.blockColumns, columns - column)) * panelRows
    }

    /// Interleaves the tokens of one panel.
    private func arrange(
        _ panel: Int, of x: UnsafePointer<Float>, into interleaved: UnsafeMutablePointer<Float>
    ) {
        let first = panel * panelRows
        for column in stride(from: 0, to: columns, by: Self.blockColumns) {
            let (block, count) = (
                interleaved + offset(panel: panel, column: column), min(Self.blockColumns, columns - column)
            )
            kernels.interleave(
                block, x + first * columns + column, grouped_rows(group: 1, group_stride: columns, size: count), 0,
                min(panelRows, tokens - first))
            kernels.clamp(block, input, count: count * panelRows)
        }
    }

    /// - Parameters:
    ///   - block: scratch of `[tileRows, blockColumns]`.
    ///   - sums: scratch of `[tilePanels, tileRows, 16]`.
    private func multiply(
        _ tile: Int, _ interleaved: UnsafePointer<Float>, _ block: UnsafeMutablePointer<Float>,
        sums: UnsafeMutablePointer<Float>, into out: UnsafeMutablePointer<Float>
    ) {
        let (panels, rows) = self[tile]
        let sumCount = Self.tileRows * panelRows
        for column in stride(from: 0, to: columns, by: Self.blockColumns) {
            let count = min(Self.blockColumns, columns - column)
            for (index, row) in rows.enumerated() {
                weight.widen(into: block + index * Self.blockColumns, from: row * columns + column, count: count)
            }
            kernels.panel_product(
                sums, sumCount, block, interleaved + offset(panel: panels.lowerBound, column: column), panels.count,
                rows.count, count, column > 0)
        }
        for (index, panel) in panels.enumerated() {
            kernels.clamp(sums + index * sumCount, output, count: rows.count * panelRows)
            kernels.deinterleave(
                out + rows.lowerBound, sums + index * sumCount, nil,
                grouped_rows(group: 1, group_stride: weight.rows, size: rows.count), panel * panelRows,
                min(panelRows, tokens - panel * panelRows))
        }
    }
}

extension kernel_set {
    /// Clamps values in place.
    fileprivate func clamp(_ values: UnsafeMutablePointer<Float>, _ bounds: Clamp, count: Int) {
        if !bounds.isNone { clamp(values, values, bounds.low, bounds.high, count) }
    }
}

private let panelRows = Int(PANEL_ROWS)
