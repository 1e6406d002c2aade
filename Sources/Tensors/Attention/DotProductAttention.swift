import CKernels

extension Tensor {
    /// softmax(queries · keysᵀ) · values over the positions that each query sees; scores are not scaled.
    ///
    /// Panels of queries attend to tiles of keys, with the running maximum and sum of online softmax (Milakov and
    /// Gimelshein, 2018), so the score matrix is never built. Tiles are copied once for all queries, as f32, or as bytes of
    /// rotated keys and values; a few queries read interleaved or rotated keys and their values in place, and all queries
    /// read q8_0 in place. Query head h
    /// reads key-value head ⌊h / (H / G)⌋. Each block of positions has its own softmax, and blocks are joined in order: the
    /// bits of a query's result depend neither on the threads nor on the other queries.
    ///
    /// - Parameters:
    ///   - segments: keys and values by position; every visible position lies in exactly one.
    ///   - visible: for each query, the positions it sees; never empty.
    /// - Returns: `[queries, H, d]`, as `self`.
    package func attending(to segments: [KeyValueSegment], visible: [Range<Int>]) -> Tensor {
        attending([AttendedRows(rows: 0..<shape[0], segments: segments, visible: visible)])
    }

    /// The same for several sequences, whose rows follow each other.
    ///
    /// - Returns: `[queries, H, d]`, as `self`.
    package func attending(_ sequences: [AttendedRows]) -> Tensor {
        attending(sequences, sharedCount: 1 << 24)
    }

    /// - Parameter sharedCount: elements of the tiles that are copied for all queries at once; by default 64 MB.
    func attending(_ sequences: [AttendedRows], sharedCount: Int) -> Tensor {
        let result = Tensor(uninitialized: shape, on: device)
        let (out, size) = (result.mutableFloats, shape[1] * shape[2])
        func attend(_ sequence: AttendedRows) {
            precondition(
                sequence.visible.count == sequence.rows.count,
                "attending: \(sequence.visible.count) ranges for \(sequence.rows.count) queries")
            DotProductAttention(self[sequence.rows], sequence.segments, sequence.visible, sharedCount: sharedCount)
                .run(into: out + sequence.rows.lowerBound * size)
        }
        // A sequence has all threads where it is most of the work; where many have little each, they go side by side.
        let threads = device.threads.count
        let total = sequences.reduce(0) { $0 + $1.scoreCount }
        let (small, large) = (
            sequences.filter { $0.scoreCount * threads <= total }, sequences.filter { $0.scoreCount * threads > total }
        )
        large.forEach(attend)
        device.threads.parallelFor(small.count) { range in small[range].forEach(attend) }
        return result
    }
}

/// Some queries, and what they attend to.
package struct AttendedRows {
    /// Which of the rows they are.
    package let rows: Range<Int>
    /// Keys and values by position; every visible position lies in exactly one.
    package let segments: [KeyValueSegment]
    /// For each query, the positions it sees; never empty.
    package let visible: [Range<Int>]

    package init(rows: Range<Int>, segments: [KeyValueSegment], visible: [Range<Int>]) {
        (self.rows, self.segments, self.visible) = (rows, segments, visible)
    }

    fileprivate var scoreCount: Int { visible.reduce(0) { $0 + $1.count } }
}

/// The operands of one attention; valid while the tensors they were taken from live.
///
/// The rows of a key-value head are (query, head of the group): a panel has some of those that share it.
private struct DotProductAttention {
    let queries: UnsafePointer<Float>
    /// Oldest first.
    let segments: [KeyValueSegment]
    let visible: [Range<Int>]
    let heads, size, keyValueHeads, sharedCount: Int
    /// The layout of quantized keys and values; nil for f32 and f16.
    let blocks: KeyValueBlocks?
    /// Whether keys and values are read in place; f16 only for rows that fit one panel, rotated ones for rows that are too
    /// few to pay for the copy of a tile.
    let readsInPlace: Bool
    let device: Device
    private let kernels: kernel_set
    /// Quantized: the rows of one key-value head after the other.
    private var integerQueries: IntegerQueries?

    init(_ queries: Tensor, _ segments: [KeyValueSegment], _ visible: [Range<Int>], sharedCount: Int) {
        let (heads, size, keyValueHeads) = (queries.shape[1], queries.shape[2], segments[0].heads)
        let blocks = segments[0].blocks
        precondition(
            heads % keyValueHeads == 0
                && segments.allSatisfy { $0.heads == keyValueHeads && $0.size == size && $0.blocks == blocks },
            "attending: queries \(queries.shape) to keys \(segments.map(\.keys.shape))")
        (self.heads, self.size, self.keyValueHeads, self.blocks) = (heads, size, keyValueHeads, blocks)
        let rowCount = visible.count * (heads / keyValueHeads)
        readsInPlace =
            blocks.map { $0.type == CACHE_q8_0 || rowCount <= attentionRows }
            ?? (rowCount <= panelRows && segments.allSatisfy(\.isInterleaved))
        self.queries = queries.floats
        self.visible = visible
        self.segments = segments.sorted { $0.positions.lowerBound < $1.positions.lowerBound }
        self.sharedCount = sharedCount
        device = queries.device
        kernels = queries.device.kernels.table
    }

    private var group: Int { heads / keyValueHeads }
    private var rowCount: Int { visible.count * group }
    private var rowShape: grouped_rows { grouped_rows(group: group, group_stride: heads * size, size: size) }

    /// Positions p with the same ⌊p / blockKeys⌋ have a softmax of their own: few enough that threads find work, many enough
    /// that joining costs little.
    /// Of small heads, which only towers have, four tiles: no one waits for the joining of a few.
    private var blockKeys: Int { size <= 64 && !isRotated ? 4 * tileKeys : rotatedBlockKeys }
    private var rotatedBlockKeys: Int { max(128, size / 2 / keysTogether * keysTogether) }
    private var isRotated: Bool { blocks?.type == CACHE_rotated }
    /// Keys that are copied at once: with the values, as f32, they lie in the second-level cache, beside the panels.
    /// q8_0: as many as one call of the kernel takes at little cost. Rotated: a block, whose weights share a step.
    private var tileKeys: Int {
        if isRotated { return rotatedBlockKeys }
        if size <= 64 { return 144 }
        return blocks != nil ? 128 : min(128, max(1, 16_384 / size / keysTogether) * keysTogether)
    }
    /// From one element of the keys to the next, and from one value to the next: a cache line more than needed, since lines
    /// a power of two apart would share a few sets of the first-level cache.
    private var keyStride: Int { tileKeys + 16 }
    private var valueStride: Int { (size + 15) / 16 * 16 + 16 }
    private var panelCount: Int { size * panelRows }
    /// Elements of a tile's keys and values.
    private var tileCount: Int { size * keyStride + tileKeys * valueStride }
    private var tilesOfBlock: Int { (blockKeys + tileKeys - 1) / tileKeys }
    private var stateCount: Int { (size + 2) * panelRows }
    /// Elements of a state of `rows` rows before maximum and total.
    private func sumCount(_ rows: Int) -> Int { size * (readsInPlace ? rows : panelRows) }

    /// Some rows of one key-value head, as panels.
    private struct Item {
        let rows: Range<Int>
        let keyValueHead: Int

        var panels: Int { (rows.count + panelRows - 1) / panelRows }

        /// The rows of a panel, and of as many panels as meet keys together.
        func panel(_ index: Int) -> Range<Int> { panels(from: index).prefix(panelRows) }
        func panels(from index: Int) -> Range<Int> {
            let first = rows.lowerBound + index * panelRows
            return first..<min(first + attentionRows, rows.upperBound)
        }
    }

    func run(into out: UnsafeMutablePointer<Float>) {
        guard let blocks, integerQueries == nil else { return attend(into: out) }
        device.withScratch(IntegerQueries.scratchCount(rows: rowCount * keyValueHeads, size: size)) { scratch in
            var attention = self
            let integers = IntegerQueries(rows: rowCount * keyValueHeads, size: size, blocks.type, scratch: scratch)
            attention.integerQueries = integers
            device.threads.parallelFor(rowCount * keyValueHeads, grain: 8) { range in
                withUnsafeTemporaryAllocation(of: Float.self, capacity: size) { query in
                    for index in range {
                        let (head, row) = index.quotientAndRemainder(dividingBy: rowCount)
                        query.baseAddress!.update(from: queries + offset(of: row, head), count: size)
                        integers.set(index, query.baseAddress!, blocks.rotation, kernels)
                    }
                }
            }
            attention.attend(into: out)
        }
    }

    private func attend(into out: UnsafeMutablePointer<Float>) {
        // As many rows together as stay in the second-level cache with their sums, unless threads would find no work.
        let enough = 4 * device.threads.count
        var rowsTogether = max(1, 32_768 / panelCount) * panelRows
        func itemCount() -> Int { (rowCount + rowsTogether - 1) / rowsTogether * keyValueHeads }
        while rowsTogether > panelRows && itemCount() < enough { rowsTogether -= panelRows }
        let items = itemCount()
        func item(_ index: Int) -> Item {
            let first = index / keyValueHeads * rowsTogether
            return Item(rows: first..<min(rowCount, first + rowsTogether), keyValueHead: index % keyValueHeads)
        }

        let states = (min(rowsTogether, rowCount) + panelRows - 1) / panelRows * stateCount
        let seen = seen(by: 0..<rowCount)
        let blocks = seen.lowerBound / blockKeys..<(seen.upperBound - 1) / blockKeys + 1
        if isRotated && !readsInPlace {
            return attendToRotatedTiles((0..<items).map(item), states: states, blocks, into: out)
        }
        if !readsInPlace && items >= 3 * keyValueHeads {
            return attendToSharedTiles((0..<items).map(item), states: states, blocks, into: out)
        }
        let scratchCount = states + tileKeys * attentionRows + tileCount + size * keysTogether
        guard items < enough && items * blocks.count * states <= 1 << 24 else {
            device.parallelFor(items, scratch: 2 * states + scratchCount) { index, scratch in
                let (item, joined) = (item(index), scratch + states)
                clear(joined, item)
                arrangeQueries(of: item, scratch + 2 * states)
                for block in blocks where sees(item.rows, positions(of: block)) {
                    attend(scratch, item, positions(of: block), scratch + 2 * states)
                    join(joined, scratch, item)
                }
                write(joined, item, into: out)
            }
            return
        }
        device.withScratch(items * blocks.count * states) { all in
            device.parallelFor(items * blocks.count, scratch: scratchCount) { index, scratch in
                let (item, block) = (item(index / blocks.count), blocks.lowerBound + index % blocks.count)
                arrangeQueries(of: item, scratch)
                attend(all + index * states, item, positions(of: block), scratch)
            }
            device.threads.parallelFor(items) { range in
                let (item, joined) = (item(range.lowerBound), all + range.lowerBound * blocks.count * states)
                for index in 1..<max(1, blocks.count) { join(joined, joined + index * states, item) }
                write(joined, item, into: out)
            }
        }
    }

    /// Copies the tiles of as many blocks as `sharedCount` elements hold, once, and lets all items attend to them; then the
    /// next ones.
    private func attendToSharedTiles(
        _ items: [Item], states: Int, _ blocks: Range<Int>, into out: UnsafeMutablePointer<Float>
    ) {
        let together = max(1, min(blocks.count, sharedCount / (keyValueHeads * tilesOfBlock * tileCount)))
        let seen = seen(by: 0..<rowCount)
        device.withScratch(items.count * states + together * keyValueHeads * tilesOfBlock * tileCount) { all in
            for first in stride(from: blocks.lowerBound, to: blocks.upperBound, by: together) {
                let some = first..<min(first + together, blocks.upperBound)
                let tiles = SharedTiles(first: first, count: some.count, start: all + items.count * states)
                device.parallelFor(some.count * keyValueHeads, scratch: size * keysTogether) { index, scratch in
                    let (block, head) = (some.lowerBound + index / keyValueHeads, index % keyValueHeads)
                    for tile in self.tiles(of: positions(of: block), seen) {
                        copy(tile, head, into: self.tile(tiles, holding: tile.lowerBound, head), scratch: scratch)
                    }
                }
                let scratchCount = 2 * states + tileKeys * attentionRows
                device.parallelFor(items.count, scratch: scratchCount) { index, scratch in
                    let (item, joined) = (items[index], all + index * states)
                    if first == blocks.lowerBound { clear(joined, item) }
                    arrangeQueries(of: item, scratch + states)
                    for block in some where sees(item.rows, positions(of: block)) {
                        attend(scratch, item, positions(of: block), scratch + states, tiles)
                        join(joined, scratch, item)
                    }
                }
            }
            device.threads.parallelFor(items.count) { range in
                write(all + range.lowerBound * states, items[range.lowerBound], into: out)
            }
        }
    }

    /// The same of rotated keys and values, whose tiles are bytes; a tile is a block.
    private func attendToRotatedTiles(
        _ items: [Item], states: Int, _ blocks: Range<Int>, into out: UnsafeMutablePointer<Float>
    ) {
        let tileCount = RotatedTile.count(size: size)
        let together = max(1, min(blocks.count, sharedCount / (keyValueHeads * tileCount)))
        let seen = seen(by: 0..<rowCount)
        device.withScratch(items.count * states + together * keyValueHeads * tileCount) { all in
            let tiles = all + items.count * states
            for first in stride(from: blocks.lowerBound, to: blocks.upperBound, by: together) {
                let some = first..<min(first + together, blocks.upperBound)
                func tile(_ block: Int, _ head: Int) -> RotatedTile {
                    RotatedTile(size: size, at: tiles + (head * together + block - first) * tileCount)
                }
                device.threads.parallelFor(some.count * keyValueHeads) { range in
                    for index in range {
                        let (block, head) = (some.lowerBound + index / keyValueHeads, index % keyValueHeads)
                        for positions in self.tiles(of: positions(of: block), seen) {
                            unpack(positions, head, into: tile(block, head))
                        }
                    }
                }
                let panels = items[0].panels
                let scratchCount = panels * (panelCount / 4 + panelRows) + tileKeys * attentionRows
                device.parallelFor(items.count, scratch: scratchCount) { index, scratch in
                    let (item, state) = (items[index], all + index * states)
                    if first == blocks.lowerBound { clear(state, item) }
                    let (scales, scores) = (
                        scratch + panels * panelCount / 4, scratch + panels * (panelCount / 4 + panelRows)
                    )
                    scratch.withMemoryRebound(to: Int32.self, capacity: panels * panelCount / 4) { queries in
                        let firstRow = item.keyValueHead * rowCount
                        integerQueries!.interleave(
                            firstRow + item.rows.lowerBound..<firstRow + item.rows.upperBound, into: queries, scales)
                        for block in some where sees(item.rows, positions(of: block)) {
                            var tile = tile(block, item.keyValueHead).tile
                            for positions in self.tiles(of: positions(of: block), seen) {
                                for panel in stride(from: 0, to: item.panels, by: panelsTogether) {
                                    guard var shape = shape(of: item.panels(from: panel), positions) else { continue }
                                    shape.keys = (positions.count + keysTogether - 1) / keysTogether * keysTogether
                                    kernels.attend_rotated_tile(
                                        state + panel * stateCount, scores, queries + panel * panelCount / 4,
                                        scales + panel * panelRows, &tile, &shape)
                                }
                            }
                        }
                    }
                }
            }
            device.threads.parallelFor(items.count) { range in
                for index in range { write(all + index * states, items[index], into: out) }
            }
        }
    }

    /// Makes bytes of one head's keys and values of some positions.
    private func unpack(_ positions: Range<Int>, _ head: Int, into tile: RotatedTile) {
        var tile = tile.tile
        for index in 0..<(positions.count + keysTogether - 1) / keysTogether {
            let (segment, first) = segment(holding: index, of: positions)
            kernels.unpack_rotated(&tile, index * keysTogether, segment.fewBits(at: first, head: head), size)
        }
    }

    /// A tile of rotated keys and values in scratch memory.
    private struct RotatedTile {
        let tile: rotated_tile

        /// Elements of the scratch memory.
        static func count(size: Int) -> Int { Int(CACHE_KEYS) * (size / 2 + 3) }

        init(size: Int, at start: UnsafeMutablePointer<Float>) {
            let keys = Int(CACHE_KEYS)
            let bytes = UnsafeMutableRawPointer(start).assumingMemoryBound(to: Int8.self)
            let numbers = start + keys * size / 2
            tile = rotated_tile(
                keys: bytes, values: bytes + keys * size,
                key_offsets: UnsafeMutableRawPointer(numbers).assumingMemoryBound(to: Int32.self),
                key_scales: numbers + keys, value_scales: numbers + 2 * keys)
        }
    }

    /// The tiles of some blocks, `[keyValueHeads, count, tilesOfBlock, tileCount]`.
    private struct SharedTiles {
        let first, count: Int
        let start: UnsafeMutablePointer<Float>
    }

    /// The tile that holds `position`, as if it began at `position`.
    private func tile(_ tiles: SharedTiles, holding position: Int, _ head: Int) -> Tile {
        let (block, place) = position.quotientAndRemainder(dividingBy: blockKeys)
        let index = (head * tiles.count + block - tiles.first) * tilesOfBlock + place / tileKeys
        return tile(tiles.start + index * tileCount, from: place % tileKeys)
    }

    /// The tile at `start`, from its key `first` on.
    private func tile(_ start: UnsafeMutablePointer<Float>, from first: Int = 0) -> Tile {
        Tile(keys: start + first, values: start + size * keyStride + first * valueStride)
    }

    /// Keys, `[size, keyStride]`, and values, `[tileKeys, valueStride]`, as f32.
    private struct Tile {
        let keys, values: UnsafeMutablePointer<Float>
    }

    /// The tiles of a block, each from the first to the last position that is `seen`, except for tiles that are not.
    private func tiles(of block: Range<Int>, _ seen: Range<Int>) -> some Sequence<Range<Int>> {
        stride(from: block.lowerBound, to: block.upperBound, by: tileKeys).lazy.map { first in
            let start = max(first, seen.lowerBound / keysTogether * keysTogether)
            return start..<max(start, min(first + tileKeys, block.upperBound, seen.upperBound))
        }.filter { !$0.isEmpty }
    }

    /// Where a row begins among the queries, and in the result.
    private func offset(of row: Int, _ keyValueHead: Int) -> Int {
        (row / group * heads + keyValueHead * group + row % group) * size
    }

    private func positions(of block: Int) -> Range<Int> { block * blockKeys..<(block + 1) * blockKeys }

    private func ranges(of rows: Range<Int>) -> ArraySlice<Range<Int>> {
        visible[rows.lowerBound / group...(rows.upperBound - 1) / group]
    }

    /// From the first to the last position that one of the rows sees.
    private func seen(by rows: Range<Int>) -> Range<Int> {
        let ranges = ranges(of: rows)
        return ranges.lazy.map(\.lowerBound).min()!..<ranges.lazy.map(\.upperBound).max()!
    }

    private func sees(_ rows: Range<Int>, _ positions: Range<Int>) -> Bool {
        ranges(of: rows).contains { $0.overlaps(positions) }
    }

    private func clear(_ states: UnsafeMutablePointer<Float>, _ item: Item) {
        for panel in 0..<item.panels {
            let state = states + panel * stateCount
            state.update(repeating: 0, count: stateCount)
            (state + sumCount(item.panel(panel).count)).update(repeating: -.infinity, count: panelRows)
        }
    }

    /// - Parameter panels: becomes `[panels, size, panelRows]`; where keys of f16 are read in place, `[rows, size]`.
    private func arrangeQueries(of item: Item, _ panels: UnsafeMutablePointer<Float>) {
        if blocks != nil { return }
        if readsInPlace {
            for row in item.rows {
                (panels + row * size).update(from: queries + offset(of: row, item.keyValueHead), count: size)
            }
            return
        }
        for panel in 0..<item.panels {
            let rows = item.panel(panel)
            kernels.interleave(
                panels + panel * panelCount, queries + item.keyValueHead * group * size, rowShape, rows.lowerBound,
                rows.count)
        }
    }

    /// The softmax of an item's rows over `positions`.
    /// - Parameters:
    ///   - scratch: the queries, arranged; then room for scores, `[tileKeys, attentionRows]`, and without shared tiles for
    ///     one tile and `[keysTogether, size]`.
    ///   - tiles: keys and values of these positions; nil: they are copied for this item.
    private func attend(
        _ states: UnsafeMutablePointer<Float>, _ item: Item, _ positions: Range<Int>,
        _ scratch: UnsafeMutablePointer<Float>, _ tiles: SharedTiles? = nil
    ) {
        let scores = scratch + item.panels * panelCount
        let own = scores + tileKeys * attentionRows
        clear(states, item)
        for positions in self.tiles(of: positions, seen(by: item.rows)) where sees(item.rows, positions) {
            if readsInPlace {
                attendInPlace(states, item, positions, queries: scratch, scores: scores)
                continue
            }
            let tile = tiles.map { self.tile($0, holding: positions.lowerBound, item.keyValueHead) } ?? self.tile(own)
            if tiles == nil { copy(positions, item.keyValueHead, into: tile, scratch: own + tileCount) }
            for panel in stride(from: 0, to: item.panels, by: panelsTogether) {
                guard var shape = shape(of: item.panels(from: panel), positions) else { continue }
                kernels.attend(
                    states + panel * stateCount, scores, scratch + panel * panelCount, tile.keys, tile.values, &shape)
            }
        }
    }

    /// The same where the keys and values of a tile lie.
    private func attendInPlace(
        _ states: UnsafeMutablePointer<Float>, _ item: Item, _ tile: Range<Int>, queries: UnsafePointer<Float>,
        scores: UnsafeMutablePointer<Float>
    ) {
        let count = (tile.count + keysTogether - 1) / keysTogether
        if let blocks, let integerQueries {
            withUnsafeTemporaryAllocation(of: UnsafePointer<UInt8>?.self, capacity: count) { pointers in
                for index in 0..<count {
                    let (segment, first) = segment(holding: index, of: tile)
                    pointers.initializeElement(at: index, to: segment.fewBits(at: first, head: item.keyValueHead))
                }
                for panel in 0..<item.panels {
                    let rows = item.panel(panel)
                    guard var shape = shape(of: rows, tile) else { continue }
                    shape.stride = keyValueHeads * blocks.blockByteCount
                    var queries = integerQueries.rows(from: item.keyValueHead * rowCount + rows.lowerBound)
                    kernels.attend_quantized(
                        states + panel * stateCount, scores, &queries, pointers.baseAddress!, &shape, blocks.type)
                }
            }
            return
        }
        withUnsafeTemporaryAllocation(of: UnsafePointer<UInt16>?.self, capacity: 2 * count) { pointers in
            for index in 0..<count {
                let (segment, first) = segment(holding: index, of: tile)
                let (keys, values) = segment.block(at: first, head: item.keyValueHead)
                pointers.initializeElement(at: index, to: keys)
                pointers.initializeElement(at: count + index, to: values)
            }
            guard var shape = shape(of: item.rows, tile) else { return }
            shape.stride = keyValueHeads * size
            kernels.attend_f16(
                states, scores, queries, pointers.baseAddress!, pointers.baseAddress! + count, &shape)
        }
    }

    /// The segment of block `index` of a tile, and where the block begins. For masked positions any will do.
    private func segment(holding index: Int, of tile: Range<Int>) -> (KeyValueSegment, first: Int) {
        let first = tile.lowerBound + index * keysTogether
        let block = (first..<first + keysTogether).clamped(to: tile)
        var (low, high) = (0, segments.count)  // the first that ends behind the block's beginning
        while low < high {
            let middle = (low + high) / 2
            if segments[middle].positions.upperBound <= block.lowerBound { low = middle + 1 } else { high = middle }
        }
        guard low < segments.count, segments[low].positions.overlaps(block) else {
            return (segments[0], segments[0].start)
        }
        return (segments[low], first)
    }

    /// What some rows see of a tile of keys; nil if nothing.
    private func shape(of rows: Range<Int>, _ tile: Range<Int>) -> attention_shape? {
        guard sees(rows, tile) else { return nil }
        var shape = attention_shape()
        (shape.rows, shape.size, shape.keys) = (rows.count, size, tile.count)
        (shape.key_stride, shape.stride) = (keyStride, valueStride)
        withUnsafeMutableBytes(of: &shape.first_seen) { first in
            withUnsafeMutableBytes(of: &shape.end_seen) { end in
                let (first, end) = (first.bindMemory(to: Int32.self), end.bindMemory(to: Int32.self))
                for (lane, row) in rows.enumerated() {
                    let seen = visible[row / group].clamped(to: tile)
                    first[lane] = Int32(seen.lowerBound - tile.lowerBound)
                    end[lane] = Int32(seen.upperBound - tile.lowerBound)
                }
            }
        }
        return shape
    }

    /// Copies one head's keys and values of some positions as f32: keys transposed, `keyStride` apart, values `valueStride`
    /// apart; what no segment has becomes 0.
    /// - Parameter scratch: room for `[keysTogether, size]`.
    private func copy(
        _ tile: Range<Int>, _ head: Int, into copied: Tile, scratch: UnsafeMutablePointer<Float>
    ) {
        let (keys, values) = (copied.keys, copied.values)
        let width = keyValueHeads * size
        for segment in segments {
            let present = tile.clamped(to: segment.positions)
            for position in present {
                let row = values + (position - tile.lowerBound) * valueStride
                segment.values.widen(
                    into: row, from: (position - segment.start) * width + head * size, count: size)
                if let steps = segment.steps { kernels.scale(row, row, steps.values, size) }
            }
            let firstBlock = present.lowerBound / keysTogether * keysTogether
            for block in stride(from: firstBlock, to: present.upperBound, by: keysTogether) {
                if segment.isInterleaved {
                    widenInterleaved(
                        segment.block(at: block, head: head).keys, into: keys + (block - tile.lowerBound))
                } else {
                    let some = (block..<block + keysTogether).clamped(to: present)
                    transposeRows(
                        of: segment.keys, at: (some.lowerBound - segment.start) * width + head * size,
                        count: some.count, step: segment.steps?.keys,
                        scratch: scratch, into: keys + (some.lowerBound - tile.lowerBound))
                }
            }
        }
        for position in tile where !segments.contains(where: { $0.positions.contains(position) }) {
            let index = position - tile.lowerBound
            (values + index * valueStride).update(repeating: 0, count: size)
            for element in 0..<size { keys[element * keyStride + index] = 0 }
        }
    }

    /// Keys of f16, `[size, keysTogether]`.
    private func widenInterleaved(_ block: UnsafePointer<UInt16>, into keys: UnsafeMutablePointer<Float>) {
        for element in 0..<size {
            kernels.widen_f16(keys + element * keyStride, block + element * keysTogether, keysTogether)
        }
    }

    /// - Parameters:
    ///   - first: the first element of the first of `count` rows of keys.
    ///   - step: of integers.
    ///   - scratch: room for `[count, size]`.
    private func transposeRows(
        of rows: Tensor, at first: Int, count: Int, step: Float?, scratch: UnsafeMutablePointer<Float>,
        into keys: UnsafeMutablePointer<Float>
    ) {
        let width = keyValueHeads * size
        if rows.elementType == .float32 {
            kernels.transpose(keys, keyStride, rows.floats + first, width, count, size)
            return
        }
        for index in 0..<count { rows.widen(into: scratch + index * size, from: first + index * width, count: size) }
        if let step { kernels.scale(scratch, scratch, step, count * size) }
        kernels.transpose(keys, keyStride, scratch, size, count, size)
    }

    private func join(_ states: UnsafeMutablePointer<Float>, _ other: UnsafePointer<Float>, _ item: Item) {
        for panel in 0..<item.panels {
            let (state, other) = (states + panel * stateCount, other + panel * stateCount)
            if readsInPlace {
                kernels.join_rows(state, other, size, item.panel(panel).count)
            } else {
                kernels.join_softmax(state, other, size)
            }
        }
    }

    /// Writes the sums of an item's rows, divided by their totals.
    private func write(_ states: UnsafePointer<Float>, _ item: Item, into out: UnsafeMutablePointer<Float>) {
        for panel in 0..<item.panels {
            let (state, rows) = (states + panel * stateCount, item.panel(panel))
            if readsInPlace {
                let totals = state + sumCount(rows.count) + panelRows
                for (index, row) in rows.enumerated() {
                    let out = out + offset(of: row, item.keyValueHead)
                    kernels.scale(out, state + index * size, 1 / totals[index], size)
                    blocks?.rotation?.undo(on: out, kernels)
                }
                continue
            }
            kernels.deinterleave(
                out + item.keyValueHead * group * size, state, state + panelCount + panelRows, rowShape,
                rows.lowerBound, rows.count)
            if let rotation = blocks?.rotation {
                for row in rows { rotation.undo(on: out + offset(of: row, item.keyValueHead), kernels) }
            }
        }
    }
}

private let panelRows = Int(PANEL_ROWS)
private let attentionRows = Int(ATTENTION_ROWS)
private let panelsTogether = attentionRows / panelRows
private let keysTogether = KeyValueSegment.keysTogether
