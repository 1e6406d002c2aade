/// Products, look-ups and joins. Elementwise operations and norms are in KernelSet.swift.
extension Tensor {
    /// self · weightᵀ: out[t, r] = Σ_c weight[r, c] · self[t, c]. `[tokens, columns]` and `[rows, columns]` to
    /// `[tokens, rows]`. The weight may be of any element type; sums are f32.
    ///
    /// Few tokens stream the weight; for many see `PanelProduct`. Either way results do not depend on the number of
    /// threads.
    public func product(_ weight: Tensor) -> Tensor {
        precondition(weight.columns == columns, "product: \(shape) with weight \(weight.shape)")
        let (tokens, columns, weightRows) = (rows, columns, weight.rows)
        let result = Tensor(uninitialized: [tokens, weightRows], on: device)
        let (out, x) = (result.mutableFloats, floats)
        if tokens > weight.elementType.streamedTokens {
            PanelProduct(tokens: tokens, weight, threads: device.threads.count).run(x, into: out)
            return result
        }
        let grain = Swift.max(32, 65_536 / Swift.max(1, columns) / 32 * 32)
        device.threads.parallelFor(weightRows, grain: grain) { range in
            device.kernels.product(out, weight, x, tokens: tokens, rows: range)
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
    /// Up to so many tokens streaming the weight is faster than panels, which are multiplied in whole. Blocks are
    /// multiplied as f32.
    fileprivate var streamedTokens: Int { self == .bfloat16 || self == .float16 ? 32 : 16 }
}
