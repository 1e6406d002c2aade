import CKernels

extension Tensor {
    /// self · weightᵀ: out[t, r] = Σ_c weight[r, c] · self[t, c]. `[tokens, columns]` and `[rows, columns]` to
    /// `[tokens, rows]`. The weight may be of any element type; sums are f32.
    ///
    /// For few tokens the weight is streamed; for many see `PanelProduct`. Either way results do not depend on the
    /// number of threads.
    package func product(_ weight: Tensor) -> Tensor { product(weight, input: .none, output: .none) }

    /// The product of the clamped activations, clamped; for many tokens while they are in a core's cache.
    package func product(_ weight: Tensor, input: Clamp, output: Clamp) -> Tensor {
        guard rows > weight.elementType.streamedTokens || (input.isNone && output.isNone) else {
            return clamped(input).product(weight).clamped(output)
        }
        precondition(weight.columns == columns, "product: \(shape) with weight \(weight.shape)")
        let (tokens, columns, weightRows) = (rows, columns, weight.rows)
        let result = Tensor(uninitialized: [tokens, weightRows], on: device)
        let (out, x) = (result.mutableFloats, floats)
        if tokens > weight.elementType.streamedTokens {
            PanelProduct(tokens: tokens, weight, input: input, output: output, threads: device.threads.count).run(
                x, into: out)
            return result
        }
        let grain = Swift.max(32, 65_536 / Swift.max(1, columns) / 32 * 32)
        device.threads.parallelFor(weightRows, grain: grain) { range in
            device.kernels.product(out, weight, x, tokens: tokens, rows: range)
        }
        return result
    }
}

extension KernelSet {
    /// out[t, r] = Σ_c weight[r, c] · x[t, c] for r in `rows`, for few tokens: streams the weight once.
    func product(
        _ out: UnsafeMutablePointer<Float>, _ weight: Tensor, _ x: UnsafePointer<Float>, tokens: Int, rows: Range<Int>
    ) {
        var shape = product_shape(
            tokens: tokens, columns: weight.columns, weight_stride: weight.columns, x_stride: weight.columns,
            out_stride: weight.rows, first_row: rows.lowerBound, end_row: rows.upperBound)
        switch weight.elementType {
        case .float32: table.f32_product(out, weight.floats, x, &shape)
        case .bfloat16: table.bf16_product(out, weight.bytes.assumingMemoryBound(to: UInt16.self), x, &shape)
        case .float16: table.f16_product(out, weight.bytes.assumingMemoryBound(to: UInt16.self), x, &shape)
        default:
            weight.device.withScratch(rows.count * weight.columns) { decoded in
                weight.widen(into: decoded, from: rows.lowerBound * weight.columns, count: rows.count * weight.columns)
                (shape.first_row, shape.end_row) = (0, rows.count)
                table.f32_product(out + rows.lowerBound, decoded, x, &shape)
            }
        }
    }
}

extension ElementType {
    /// The batch size up to which streaming the weight is faster than panels, which are always computed whole.
    /// Quantized weights are multiplied as f32.
    fileprivate var streamedTokens: Int { self == .bfloat16 || self == .float16 ? 32 : 16 }
}
