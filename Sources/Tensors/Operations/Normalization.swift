extension Tensor {
    /// x / √(mean(x²) + eps) · weight over the last axis; unweighted if nil.
    package func rmsNormalized(_ weight: Tensor?, eps: Float) -> Tensor {
        precondition(
            weight == nil || weight!.shape == [columns], "rmsNormalized: weight \(weight!.shape) for rows of \(columns)"
        )
        let (weight, columns) = (weight?.floats, columns)
        return mappedRows { out, x, _ in device.kernels.table.rms_norm(out, x, weight, eps, columns) }
    }

    /// (x − mean) / √(variance + eps) · weight over the last axis.
    package func layerNormalized(_ weight: Tensor, eps: Float) -> Tensor {
        precondition(weight.shape == [columns], "layerNormalized: weight \(weight.shape) for rows of \(columns)")
        let (weight, columns) = (weight.floats, columns)
        return mappedRows { out, x, _ in device.kernels.table.layer_norm(out, x, weight, eps, columns) }
    }

    /// Applies `kernel`, (out, x, row), to each row of this tensor; the result has the same shape.
    private func mappedRows(_ kernel: (UnsafeMutablePointer<Float>, UnsafePointer<Float>, Int) -> Void) -> Tensor {
        let result = Tensor(uninitialized: shape, on: device)
        let (out, x, columns) = (result.mutableFloats, floats, columns)
        device.threads.parallelFor(rows, grain: max(1, elementwiseGrain / max(1, columns))) { range in
            for row in range { kernel(out + row * columns, x + row * columns, row) }
        }
        return result
    }
}
