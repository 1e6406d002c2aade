import CKernels

/// Keys and values of consecutive positions, `[positions, keyValueHeads, headDimension]` each.
public struct KeyValueSegment: Sendable {
    public let firstPosition: Int
    public let keys, values: Tensor

    public init(firstPosition: Int, keys: Tensor, values: Tensor) {
        precondition(keys.shape == values.shape, "KeyValueSegment: keys \(keys.shape), values \(values.shape)")
        self.firstPosition = firstPosition
        self.keys = keys
        self.values = values
    }
}

extension Tensor {
    private static let queryTile = 64, keyTile = 256

    /// softmax(queries · keysᵀ) · values over the positions that each query sees; scores are not scaled.
    ///
    /// Tiles of queries meet tiles of keys, with the running maximum and sum of online softmax (Milakov and
    /// Gimelshein, 2018), so the score matrix is never built. Query head h reads key-value head ⌊h / (H / G)⌋.
    ///
    /// - Parameters:
    ///   - segments: keys and values by position; every visible position lies in exactly one.
    ///   - visible: for each query, the positions it sees; never empty.
    /// - Returns: `[queries, H, d]`, as `self`.
    public func attending(to segments: [KeyValueSegment], visible: [Range<Int>]) -> Tensor {
        let (count, heads, size) = (shape[0], shape[1], shape[2])
        precondition(visible.count == count, "attending: \(visible.count) ranges for \(count) queries")
        let result = Tensor(uninitialized: shape, on: device)
        let keyValueHeads = segments[0].keys.shape[1]
        let group = heads / keyValueHeads
        // Rows of a tile are (query, head of the group); long prompts take fewer queries where groups are large.
        let tileQueries = max(1, Self.queryTile / group)
        let tiles = (count + tileQueries - 1) / tileQueries
        let (out, queries) = (result.mutableFloats, floats)
        device.threads.parallelFor(tiles * keyValueHeads) { range in
            for item in range {
                let first = item / keyValueHeads * tileQueries
                let tile = AttentionTile(
                    queries: first..<Swift.min(count, first + tileQueries), heads: heads, size: size,
                    keyValueHead: item % keyValueHeads, group: group, device: device)
                device.withScratch(tile.scratchCount(keyTile: Self.keyTile)) { scratch in
                    tile.attend(out, queries, segments, visible, keyTile: Self.keyTile, scratch)
                }
            }
        }
        return result
    }
}

/// A few queries of the heads that share one key-value head.
private struct AttentionTile {
    let queries: Range<Int>
    let heads, size, keyValueHead, group: Int
    let device: Device

    var rows: Int { queries.count * group }

    func scratchCount(keyTile: Int) -> Int { rows * (2 * size + keyTile + 2) }

    func attend(
        _ out: UnsafeMutablePointer<Float>, _ q: UnsafePointer<Float>, _ segments: [KeyValueSegment], _ visible: [Range<Int>],
        keyTile: Int, _ scratch: UnsafeMutablePointer<Float>
    ) {
        let kernels = device.kernels.table
        let packed = scratch  // [rows, size]
        let sums = packed + rows * size  // [rows, size]
        let scores = sums + rows * size  // [rows, keyTile]
        let maxima = scores + rows * keyTile
        let totals = maxima + rows
        sums.update(repeating: 0, count: rows * size)
        maxima.update(repeating: -.infinity, count: rows)
        totals.update(repeating: 0, count: rows)
        for (row, query) in queries.enumerated() {
            (packed + row * group * size).update(from: q + (query * heads + keyValueHead * group) * size, count: group * size)
        }
        let seen = queries.map { visible[$0].lowerBound }.min()!..<queries.map { visible[$0].upperBound }.max()!
        for segment in segments {
            let (length, keyValueHeads) = (segment.keys.shape[0], segment.keys.shape[1])
            let stride = keyValueHeads * size
            let within = seen.clamped(to: segment.firstPosition..<segment.firstPosition + length)
            for start in Swift.stride(from: within.lowerBound, to: within.upperBound, by: keyTile) {
                let positions = start..<min(within.upperBound, start + keyTile)
                let offset = (start - segment.firstPosition) * stride + keyValueHead * size
                BLAS.product(
                    scores, outStride: keyTile, segment.keys.floats + offset, weightStride: stride, packed, xStride: size,
                    tokens: rows, rows: positions.count, columns: size)
                for row in 0..<rows {
                    let p = scores + row * keyTile
                    let mine = visible[queries.lowerBound + row / group].clamped(to: positions)
                    let (low, high) = (mine.lowerBound - start, mine.upperBound - start)
                    if low >= high {
                        p.update(repeating: 0, count: positions.count)
                        continue
                    }
                    let largest = max(maxima[row], kernels.maximum(p + low, high - low))
                    if largest > maxima[row] {
                        let factor = maxima[row] == -.infinity ? 0 : exponential(maxima[row] - largest, kernels)
                        totals[row] *= factor
                        kernels.scale(sums + row * size, sums + row * size, factor, size)
                        maxima[row] = largest
                    }
                    p.update(repeating: 0, count: low)
                    totals[row] += kernels.exponentials(p + low, p + low, largest, high - low)
                    (p + high).update(repeating: 0, count: positions.count - high)
                }
                BLAS.weightedRows(
                    sums, outStride: size, scores, pStride: keyTile, segment.values.floats + offset, valueStride: stride,
                    tokens: rows, keys: positions.count, columns: size, accumulating: true)
            }
        }
        for row in 0..<rows {
            let target = out + ((queries.lowerBound + row / group) * heads + keyValueHead * group + row % group) * size
            kernels.scale(target, sums + row * size, 1 / totals[row], size)
        }
    }

    private func exponential(_ x: Float, _ kernels: kernel_set) -> Float {
        var (value, result): (Float, Float) = (x, 0)
        return kernels.exponentials(&result, &value, 0, 1)
    }
}
