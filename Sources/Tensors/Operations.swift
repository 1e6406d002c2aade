/// Products, look-ups and joins. Elementwise operations and norms are in KernelSet.swift.
extension Tensor {
    /// Up to so many tokens the weight is streamed by our kernels; beyond, tiles of it go to OpenBLAS.
    static let streamedTokens = 4
    /// Rows of the weight that one thread takes at a time.
    private static let tileRows = 128

    /// self · weightᵀ: out[t, r] = Σ_c weight[r, c] · self[t, c]. `[tokens, columns]` and `[rows, columns]` to
    /// `[tokens, rows]`. The weight may be of any element type; sums are f32.
    public func product(_ weight: Tensor) -> Tensor {
        precondition(weight.columns == columns, "product: \(shape) with weight \(weight.shape)")
        let (tokens, columns, weightRows) = (rows, columns, weight.rows)
        let result = Tensor(uninitialized: [tokens, weightRows], on: device)
        let (out, x) = (result.mutableFloats, floats)
        if tokens <= Self.streamedTokens {
            device.threads.parallelFor(weightRows, grain: 32) { range in
                device.kernels.product(out, weight, x, tokens: tokens, rows: range)
            }
            return result
        }
        device.threads.parallelFor(weightRows, grain: Self.tileRows) { range in
            device.withScratch(range.count * columns) { tile in
                weight.widen(into: tile, from: range.lowerBound * columns, count: range.count * columns)
                BLAS.product(
                    out + range.lowerBound, outStride: weightRows, tile, weightStride: columns, x, xStride: columns,
                    tokens: tokens, rows: range.count, columns: columns)
            }
        }
        return result
    }

    /// Rows of the first axis by index, as f32: `[n, …]`.
    public func gathered(_ indices: [Int]) -> Tensor {
        let width = shape.count / max(1, shape[0])
        let result = Tensor(uninitialized: shape.withFirst(indices.count), on: device)
        let out = result.mutableFloats
        for (row, index) in indices.enumerated() {
            precondition(index >= 0 && index < shape[0], "gathered: row \(index) of \(shape)")
            widen(into: out + row * width, from: index * width, count: width)
        }
        return result
    }

    /// Writes `rows` over the indices from `first` on of the first axis, in place unless the bytes are shared.
    public mutating func replaceRows(from first: Int, with rows: Tensor) {
        precondition(
            rows.shape.rank == shape.rank && rows.shape.withFirst(shape[0]) == shape && first >= 0 && first + rows.shape[0] <= shape[0],
            "replaceRows: \(rows.shape) at \(first) of \(shape)")
        makeUnique()
        let width = shape.count / max(1, shape[0])
        (mutableFloats + first * width).update(from: rows.floats, count: rows.shape.count)
    }

    /// self[indices[i]] += rows[i] along the first axis, in the order given.
    public mutating func addRows(at indices: [Int], _ rows: Tensor) {
        precondition(rows.shape == shape.withFirst(indices.count), "addRows: \(rows.shape) for \(indices.count) rows of \(shape)")
        makeUnique()
        let width = shape.count / max(1, shape[0])
        let (out, added) = (mutableFloats, rows.floats)
        for (row, index) in indices.enumerated() {
            let target = out + index * width
            device.kernels.table.add(target, target, added + row * width, width)
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

    private mutating func makeUnique() {
        if !holdsOnlyReference() {
            self = Tensor(toArray(), shape, on: device)
        }
    }
}
