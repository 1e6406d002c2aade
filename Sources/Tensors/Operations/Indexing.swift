extension Tensor {
    /// Rows by index, as f32: `[n, columns]`. From a mapped file only those rows are read, and no pages become
    /// resident.
    package func gathered(_ indices: [Int]) -> Tensor {
        reshaped([shape[0], shape.count / max(1, shape[0])]).gathered(
            indices, columns: 0..<shape.count / max(1, shape[0])
        )
        .reshaped(shape.withFirst(indices.count))
    }

    /// A range of columns of the rows with these indices, as f32: `[n, columns.count]`.
    package func gathered(_ indices: [Int], columns range: Range<Int>) -> Tensor {
        precondition(range.lowerBound >= 0 && range.upperBound <= columns, "gathered: columns \(range) of \(shape)")
        let result = Tensor(uninitialized: [indices.count, range.count], on: device)
        let out = result.mutableFloats
        let file = storage.file
        // Whole blocks that cover the columns.
        let length = elementType.blockLength
        let first = range.lowerBound / length * length
        let count = (range.upperBound + length - 1) / length * length - first
        let blocks = Tensor(uninitialized: [count], elementType, on: device)
        for (row, index) in indices.enumerated() {
            precondition(index >= 0 && index < rows, "gathered: row \(index) of \(shape)")
            let source = UnsafeRawBufferPointer(
                start: bytes + elementType.byteCount(index * columns + first), count: elementType.byteCount(count))
            let out = out + row * range.count
            if let file, file.read(source, into: blocks.storage.start) {
                blocks.widen(into: out, from: range.lowerBound - first, count: range.count)
            } else {
                widen(into: out, from: index * columns + range.lowerBound, count: range.count)
            }
        }
        return result
    }

    /// The same for integers: each of `scales.columns` equal groups of a row has a scale.
    ///
    /// - Parameter scales: `[rows, groups]`.
    package func gathered(_ indices: [Int], columns range: Range<Int>, scales: Tensor) -> Tensor {
        precondition(
            scales.rows == rows && columns.isMultiple(of: scales.columns),
            "gathered: scales \(scales.shape) of \(shape)")
        let result = gathered(indices, columns: range)
        let length = columns / scales.columns
        let stretches = range.lowerBound / length..<(range.upperBound + length - 1) / length
        let factors = scales.gathered(indices, columns: stretches).toArray()
        for row in indices.indices {
            for (index, stretch) in stretches.enumerated() {
                let part = (stretch * length..<(stretch + 1) * length).clamped(to: range)
                let out = result.mutableFloats + row * range.count + (part.lowerBound - range.lowerBound)
                device.kernels.table.scale(out, out, factors[row * stretches.count + index], part.count)
            }
        }
        return result
    }

    /// One element of an f32 matrix.
    package func element(_ row: Int, _ column: Int) -> Float {
        precondition(row < rows && column < columns, "element \(row), \(column) of \(shape)")
        return floats[row * columns + column]
    }

    /// Writes `rows`, f32, at the indices from `first` of the first axis, converted or quantized to the element type;
    /// in place unless the bytes are shared.
    package mutating func replaceRows(from first: Int, with rows: Tensor) {
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

    /// The same for int8, whose rows have a multiple of 32 elements: each element is quantized to the nearest of
    /// −128…127 steps.
    mutating func replaceRows(from first: Int, with rows: Tensor, inStepsOf step: Float) {
        precondition(
            elementType == .int8 && rows.shape.withFirst(shape[0]) == shape && first >= 0
                && first + rows.shape[0] <= shape[0],
            "replaceRows: \(rows.shape) at \(first) of \(shape) \(elementType)")
        makeUnique()
        let count = rows.shape.count
        let out = UnsafeMutableRawPointer(mutating: bytes) + first * (shape.count / max(1, shape[0]))
        var (sum, scale) = (Int32(0), Float(0))
        device.kernels.table.quantize_steps(
            out.assumingMemoryBound(to: Int8.self), &sum, &scale, rows.floats, step, count)
    }

    /// self[indices[i]] += weights[i] · rows[i] along the first axis, in the order given.
    package mutating func addRows(at indices: [Int], _ rows: Tensor, weights: [Float]) {
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

    /// Concatenates tensors of equal trailing shape along the first axis.
    package static func concatenated(_ parts: [Tensor]) -> Tensor {
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
}
