import CKernels

/// Keys and values of consecutive positions, `[positions, keyValueHeads, headDimension]` each, of any element type.
public struct KeyValueSegment: Sendable {
    public let firstPosition: Int
    public let keys, values: Tensor

    public init(firstPosition: Int, keys: Tensor, values: Tensor) {
        precondition(keys.shape == values.shape, "KeyValueSegment: keys \(keys.shape), values \(values.shape)")
        self.firstPosition = firstPosition
        self.keys = keys
        self.values = values
    }

    fileprivate var positions: Range<Int> { firstPosition..<firstPosition + keys.shape[0] }
}

extension Tensor {
    /// softmax(queries · keysᵀ) · values over the positions that each query sees; scores are not scaled.
    ///
    /// Tiles of queries meet tiles of keys, with the running maximum and sum of online softmax (Milakov and
    /// Gimelshein, 2018), so the score matrix is never built. Query head h reads key-value head ⌊h / (H / G)⌋. Where
    /// few tiles meet many keys, as in decoding, the keys are split, and the parts joined by the same rule. How the work
    /// is cut depends on the shapes and the ranges alone, not on the number of threads. Keys and values that are not f32 are
    /// widened tile by tile.
    ///
    /// - Parameters:
    ///   - segments: keys and values by position; every visible position lies in exactly one.
    ///   - visible: for each query, the positions it sees; never empty.
    /// - Returns: `[queries, H, d]`, as `self`.
    public func attending(to segments: [KeyValueSegment], visible: [Range<Int>]) -> Tensor {
        precondition(visible.count == shape[0], "attending: \(visible.count) ranges for \(shape[0]) queries")
        let result = Tensor(uninitialized: shape, on: device)
        let attention = DotProductAttention(self, segments, visible)
        attention.run(into: result.mutableFloats, on: device)
        return result
    }
}

/// The operands of one attention; valid while the tensors they were taken from live.
private struct DotProductAttention {
    private static let tileRows = 256, tileKeys = 256
    /// So many parts are enough for the threads; so many keys are worth a part.
    private static let enoughParts = 16, partKeys = 128
    /// Up to so many rows our kernel multiplies faster than OpenBLAS, which packs the keys.
    private static let streamedRows = 16

    let queries: UnsafePointer<Float>
    let segments: [KeyValueSegment]
    let visible: [Range<Int>]
    let heads, size, keyValueHeads: Int
    let kernels: kernel_set

    init(_ queries: Tensor, _ segments: [KeyValueSegment], _ visible: [Range<Int>]) {
        let (heads, size, keyValueHeads) = (queries.shape[1], queries.shape[2], segments[0].keys.shape[1])
        precondition(
            heads % keyValueHeads == 0
                && segments.allSatisfy { $0.keys.shape == [$0.keys.shape[0], keyValueHeads, size] },
            "attending: queries \(queries.shape) to keys \(segments.map(\.keys.shape))")
        (self.heads, self.size, self.keyValueHeads) = (heads, size, keyValueHeads)
        self.queries = queries.floats
        self.visible = visible
        self.segments = segments
        kernels = queries.device.kernels.table
    }

    /// Rows are (query, head of the group): those that share a key-value head.
    var group: Int { heads / keyValueHeads }

    func run(into out: UnsafeMutablePointer<Float>, on device: Device) {
        let tileQueries = max(1, Self.tileRows / group)
        let tiles = (visible.count + tileQueries - 1) / tileQueries * keyValueHeads
        let rows = min(tileQueries, visible.count) * group
        let seen = union(of: 0..<visible.count)
        let parts = max(1, min(Self.enoughParts / max(1, tiles), (seen.count + Self.partKeys - 1) / Self.partKeys))
        let keysPerPart = (seen.count + parts - 1) / parts

        func tile(_ index: Int) -> (queries: Range<Int>, keyValueHead: Int) {
            let first = index / keyValueHeads * tileQueries
            return (first..<min(visible.count, first + tileQueries), index % keyValueHeads)
        }
        let stateCount = PartialSoftmax.count(rows: rows, size: size)
        let isNarrow = segments.contains { $0.keys.elementType != .float32 || $0.values.elementType != .float32 }
        let scratchCount = rows * (size + Self.tileKeys) + (isNarrow ? 2 * Self.tileKeys * size : 0)
        device.withScratch(tiles * (parts > 1 ? parts * stateCount : 0)) { states in
            device.parallelFor(tiles * parts, scratch: stateCount + scratchCount) { item, scratch in
                let (queries, head) = tile(item / parts)
                let whole = union(of: queries)
                let first = seen.lowerBound + item % parts * keysPerPart
                let state = PartialSoftmax(
                    parts > 1 ? states + item * stateCount : scratch, rows: queries.count * group, size: size)
                attend(
                    state, queries, head, parts > 1 ? whole.clamped(to: first..<first + keysPerPart) : whole,
                    scratch + stateCount)
                if parts == 1 { write([state], queries, head, into: out) }
            }
            if parts > 1 {
                device.threads.parallelFor(tiles) { range in
                    let (queries, head) = tile(range.lowerBound)
                    let joined = (0..<parts).map {
                        PartialSoftmax(
                            states + (range.lowerBound * parts + $0) * stateCount, rows: queries.count * group,
                            size: size)
                    }
                    write(joined, queries, head, into: out)
                }
            }
        }
    }

    private func union(of queries: Range<Int>) -> Range<Int> {
        var (low, high) = (Int.max, Int.min)
        for query in queries {
            low = min(low, visible[query].lowerBound)
            high = max(high, visible[query].upperBound)
        }
        return low < high ? low..<high : 0..<0
    }

    /// The softmax of some queries over `positions`.
    /// - Parameter scratch: `[rows, size + tileKeys]`, and `[2, tileKeys, size]` for keys and values that are not f32.
    private func attend(
        _ state: PartialSoftmax, _ queries: Range<Int>, _ keyValueHead: Int, _ positions: Range<Int>,
        _ scratch: UnsafeMutablePointer<Float>
    ) {
        let (packed, scores) = (scratch, scratch + state.rows * size)
        let wideKeys = scores + state.rows * Self.tileKeys
        for (row, query) in queries.enumerated() {
            (packed + row * group * size).update(
                from: self.queries + (query * heads + keyValueHead * group) * size, count: group * size)
        }
        state.clear()
        for segment in segments {
            let within = positions.clamped(to: segment.positions)
            for first in stride(from: within.lowerBound, to: within.upperBound, by: Self.tileKeys) {
                let keys = first..<min(within.upperBound, first + Self.tileKeys)
                // Only the queries from the first to the last that sees one of these keys.
                guard let start = queries.first(where: { visible[$0].overlaps(keys) }),
                    let last = queries.last(where: { visible[$0].overlaps(keys) })
                else { continue }
                let rows = (start - queries.lowerBound) * group..<(last + 1 - queries.lowerBound) * group
                let place = keys.lowerBound - segment.firstPosition..<keys.upperBound - segment.firstPosition
                multiply(
                    scores, head(keyValueHead, of: segment.keys, place, wideKeys), packed + rows.lowerBound * size,
                    rows: rows.count, keys: keys.count)
                for row in rows {
                    let mine = visible[queries.lowerBound + row / group].clamped(to: keys)
                    state.weigh(
                        scores + (row - rows.lowerBound) * Self.tileKeys, keys.count,
                        mine.lowerBound - first..<mine.upperBound - first, row: row, kernels)
                }
                weigh(
                    state.sums + rows.lowerBound * size, scores,
                    head(keyValueHead, of: segment.values, place, wideKeys + Self.tileKeys * size), rows: rows.count,
                    keys: keys.count)
            }
        }
    }

    /// Vectors of `size` numbers, `stride` apart.
    private struct Vectors {
        let start: UnsafePointer<Float>
        let stride: Int
    }

    /// One head of `tensor` at some of its positions: where it lies, or widened into `scratch`, `[positions, size]`.
    private func head(
        _ head: Int, of tensor: Tensor, _ positions: Range<Int>, _ scratch: UnsafeMutablePointer<Float>
    ) -> Vectors {
        let (first, stride) = ((positions.lowerBound * keyValueHeads + head) * size, keyValueHeads * size)
        if tensor.elementType == .float32 { return Vectors(start: tensor.floats + first, stride: stride) }
        if keyValueHeads == 1 {
            tensor.widen(into: scratch, from: first, count: positions.count * size)
        } else {
            for index in 0..<positions.count {
                tensor.widen(into: scratch + index * size, from: first + index * stride, count: size)
            }
        }
        return Vectors(start: scratch, stride: size)
    }

    /// scores[row, key] = x[row] · k[key]
    private func multiply(
        _ scores: UnsafeMutablePointer<Float>, _ k: Vectors, _ x: UnsafePointer<Float>, rows: Int, keys: Int
    ) {
        if rows <= Self.streamedRows {
            var walk = product_shape(
                tokens: rows, columns: size, weight_stride: k.stride, x_stride: size, out_stride: Self.tileKeys,
                first_row: 0, end_row: keys)
            kernels.f32_product(scores, k.start, x, &walk)
        } else {
            BLAS.product(
                scores, outStride: Self.tileKeys, k.start, weightStride: k.stride, x, xStride: size, tokens: rows,
                rows: keys, columns: size)
        }
    }

    /// sums[row] += Σ_key weights[row, key] · v[key]
    private func weigh(
        _ sums: UnsafeMutablePointer<Float>, _ weights: UnsafePointer<Float>, _ v: Vectors, rows: Int, keys: Int
    ) {
        if rows <= Self.streamedRows {
            kernels.weighted_rows(sums, size, weights, Self.tileKeys, v.start, v.stride, rows, keys, size)
        } else {
            BLAS.addWeightedRows(
                sums, outStride: size, weights, pStride: Self.tileKeys, v.start, valueStride: v.stride, tokens: rows,
                keys: keys, columns: size)
        }
    }

    /// Joins the parts of some queries: out = Σ_p e^(m_p − m) · sums_p / Σ_p e^(m_p − m) · total_p, m the largest m_p.
    private func write(
        _ parts: [PartialSoftmax], _ queries: Range<Int>, _ keyValueHead: Int, into out: UnsafeMutablePointer<Float>
    ) {
        for row in 0..<queries.count * group {
            let target = out + ((queries.lowerBound + row / group) * heads + keyValueHead * group + row % group) * size
            let largest = parts.reduce(-Float.infinity) { max($0, $1.maxima[row]) }
            let total = parts.reduce(Float(0)) { $0 + $1.totals[row] * kernels.exponential($1.maxima[row] - largest) }
            target.update(repeating: 0, count: size)
            for part in parts {
                var factor = kernels.exponential(part.maxima[row] - largest) / total
                kernels.weighted_rows(target, size, &factor, 1, part.sums + row * size, size, 1, 1, size)
            }
        }
    }
}

/// The softmax of some rows of scores so far, times the values.
private struct PartialSoftmax {
    let rows, size: Int
    let sums: UnsafeMutablePointer<Float>  // [rows, size]: Σ_j e^(score_j − maximum) · value_j
    let maxima, totals: UnsafeMutablePointer<Float>  // [rows]: the largest score, and Σ_j e^(score_j − maximum)

    static func count(rows: Int, size: Int) -> Int { rows * (size + 2) }

    init(_ memory: UnsafeMutablePointer<Float>, rows: Int, size: Int) {
        (self.rows, self.size) = (rows, size)
        (sums, maxima, totals) = (memory, memory + rows * size, memory + rows * (size + 1))
    }

    func clear() {
        sums.update(repeating: 0, count: rows * size)
        maxima.update(repeating: -.infinity, count: rows)
        totals.update(repeating: 0, count: rows)
    }

    /// Makes of `count` scores of a row their weights, 0 outside of `seen`; what the row has so far shrinks to fit.
    func weigh(
        _ scores: UnsafeMutablePointer<Float>, _ count: Int, _ seen: Range<Int>, row: Int, _ kernels: kernel_set
    ) {
        guard !seen.isEmpty else {
            scores.update(repeating: 0, count: count)
            return
        }
        let largest = max(maxima[row], kernels.maximum(scores + seen.lowerBound, seen.count))
        if largest > maxima[row] {
            let factor = kernels.exponential(maxima[row] - largest)
            totals[row] *= factor
            kernels.scale(sums + row * size, sums + row * size, factor, size)
            maxima[row] = largest
        }
        scores.update(repeating: 0, count: seen.lowerBound)
        totals[row] += kernels.exponentials(scores + seen.lowerBound, scores + seen.lowerBound, largest, seen.count)
        (scores + seen.upperBound).update(repeating: 0, count: count - seen.upperBound)
    }
}

extension kernel_set {
    fileprivate func exponential(_ x: Float) -> Float {
        var (value, result): (Float, Float) = (x, 0)
        return exponentials(&result, &value, 0, 1)
    }
}
