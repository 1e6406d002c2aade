extension Tensor {
    /// self[t, c] + row[c]
    public func adding(row: Tensor) -> Tensor {
        let kernels = device.kernels.table
        return broadcasting(row) { kernels.add($0, $1, $2, $3) }
    }

    /// self[t, c] · row[c]
    public func multiplying(row: Tensor) -> Tensor {
        let kernels = device.kernels.table
        return broadcasting(row) { kernels.multiply($0, $1, $2, $3) }
    }

    private func broadcasting(
        _ row: Tensor, _ kernel: (UnsafeMutablePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, Int) -> Void
    ) -> Tensor {
        precondition(row.shape == [columns], "broadcasting: row \(row.shape) over \(shape)")
        let result = Tensor(uninitialized: shape, on: device)
        let (out, x, vector, columns) = (result.mutableFloats, floats, row.floats, columns)
        device.threads.parallelFor(rows, grain: max(1, 32_768 / max(1, columns))) { range in
            for t in range { kernel(out + t * columns, x + t * columns, vector, columns) }
        }
        return result
    }
}
