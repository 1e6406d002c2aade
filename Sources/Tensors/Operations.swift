/// Products, look-ups and joins. Elementwise operations and norms are in KernelSet.swift.
extension Tensor {
    /// self · weightᵀ: out[t, r] = Σ_c weight[r, c] · self[t, c]. `[tokens, columns]` and `[rows, columns]` to
    /// `[tokens, rows]`. The weight may be of any element type; sums are f32.
    ///
    /// Few tokens stream the weight through our kernels, once; for many, tiles of it, widened, go to OpenBLAS. How the
    /// work is cut depends on the shapes alone, so results do not depend on the number of threads.
    public func product(_ weight: Tensor) -> Tensor {
        precondition(weight.columns == columns, "product: \(shape) with weight \(weight.shape)")
        let (tokens, columns, weightRows) = (rows, columns, weight.rows)
        let result = Tensor(uninitialized: [tokens, weightRows], on: device)
        let (out, x) = (result.mutableFloats, floats)
        if tokens <= weight.elementType.streamedTokens {
            let grain = Swift.max(32, 65_536 / Swift.max(1, columns) / 32 * 32)
            device.threads.parallelFor(weightRows, grain: grain) { range in
                device.kernels.product(out, weight, x, tokens: tokens, rows: range)
            }
            return result
        }
        let tiling = ProductTiling(tokens: tokens, rows: weightRows, columns: columns)
        let wide = weight.elementType == .float32
        device.parallelFor(tiling.count, scratch: wide ? 0 : tiling.tileRows * columns) { tile, scratch in
            let (tokens, rows) = tiling[tile]
            var source = UnsafePointer(scratch)
            if wide {
                source = weight.floats + rows.lowerBound * columns
            } else {
                weight.widen(into: scratch, from: rows.lowerBound * columns, count: rows.count * columns)
            }
            BLAS.product(
                out + tokens.lowerBound * weightRows + rows.lowerBound, outStride: weightRows, source,
                weightStride: columns,
                x + tokens.lowerBound * columns, xStride: columns, tokens: tokens.count, rows: rows.count,
                columns: columns)
        }
        return result
    }

    /// Writes `rows`, f32, over the indices from `first` on of the first axis, rounded to the element type; in place unless
    /// the bytes are shared.
    public mutating func replaceRows(from first: Int, with rows: Tensor) {
        precondition(
            rows.shape.rank == shape.rank && rows.shape.withFirst(shape[0]) == shape && first >= 0
                && first + rows.shape[0] <= shape[0],
            "replaceRows: \(rows.shape) at \(first) of \(shape)")
        makeUnique()
        let width = shape.count / max(1, shape[0])
        let (values, count) = (rows.floats, rows.shape.count)
        let out = UnsafeMutableRawPointer(mutating: bytes) + elementType.byteCount(first * width)
        switch elementType {
        case .float32: out.copyMemory(from: values, byteCount: count * 4)
        case .float16: device.kernels.table.narrow_f16(out.assumingMemoryBound(to: UInt16.self), values, count)
        default:
            BlockQuantizer.encode(
                UnsafeBufferPointer(start: values, count: count), as: elementType,
                into: out.assumingMemoryBound(to: UInt8.self))
        }
    }

    /// self[indices[i]] += weights[i] · rows[i] along the first axis, in the order given.
    public mutating func addRows(at indices: [Int], _ rows: Tensor, weights: [Float]) {
        precondition(
            rows.shape == shape.withFirst(indices.count) && weights.count == indices.count,
            "addRows: \(rows.shape) and \(weights.count) weights for \(indices.count) rows of \(shape)")
        makeUnique()
        let width = shape.count / max(1, shape[0])
        let (out, added) = (mutableFloats, rows.floats)
        weights.withUnsafeBufferPointer { weights in
            for (row, index) in indices.enumerated() {
                device.kernels.table.weighted_rows(
                    out + index * width, weights.baseAddress! + row, added + row * width, width, 1, width)
            }
        }
    }

    /// Tensors of equal trailing shape, one after the other along the first axis.
    public static func concatenated(_ parts: [Tensor]) -> Tensor {
        if parts.count == 1 { return parts[0] }
        let total = parts.reduce(0) { $0 + $1.shape[0] }
        var result = Tensor(uninitialized: parts[0].shape.withFirst(total), on: parts[0].device)
        var first = 0
        for part in parts {
            result.replaceRows(from: first, with: part)
            first += part.shape[0]
        }
        return result
    }

    mutating func makeUnique() {
        guard !holdsOnlyReference() else { return }
        let copy = Tensor(uninitialized: shape, elementType, on: device)
        copy.storage.start.copyMemory(from: bytes, byteCount: elementType.byteCount(shape.count))
        self = copy
    }
}

extension ElementType {
    /// Up to so many tokens our kernels are faster than OpenBLAS, which packs both operands and wants f32. Measured on
    /// Zen 4: bf16 at 32 tokens 99 GFLOP/s per thread with AVX-512 and 72 with AVX2, OpenBLAS 58 to 70; f32 at 16
    /// tokens 74 and 48, OpenBLAS 48. Blocks are multiplied as f32.
    fileprivate var streamedTokens: Int { self == .bfloat16 || self == .float16 ? 32 : 16 }
}

/// How a product of many tokens is cut into calls of OpenBLAS.
///
/// OpenBLAS packs the activations anew for each tile of rows, and the rows for each tile of tokens: tiles are as large
/// as leaves `enough` of them for the threads and a widened tile in the cache. Tiles of 512 × 512 reach 90 to 98 % of one
/// undivided call, 128 × 128 85 to 90 %.
struct ProductTiling {
    private static let enough = 16, largest = 512, smallest = 128, scratchCount = 1 << 21

    let tokens, rows: Int
    private(set) var tileTokens = Self.largest, tileRows = Self.largest

    init(tokens: Int, rows: Int, columns: Int) {
        (self.tokens, self.rows) = (tokens, rows)
        while tileRows > 16 && tileRows * columns > Self.scratchCount { tileRows /= 2 }
        while tileRows > Self.smallest && count < Self.enough { tileRows /= 2 }
        while tileTokens > Self.smallest && count < Self.enough { tileTokens /= 2 }
    }

    private var rowTiles: Int { (rows + tileRows - 1) / tileRows }
    var count: Int { rowTiles * ((tokens + tileTokens - 1) / tileTokens) }

    subscript(tile: Int) -> (tokens: Range<Int>, rows: Range<Int>) {
        let (firstToken, firstRow) = (tile / rowTiles * tileTokens, tile % rowTiles * tileRows)
        return (
            firstToken..<min(tokens, firstToken + tileTokens), firstRow..<min(rows, firstRow + tileRows)
        )
    }
}
