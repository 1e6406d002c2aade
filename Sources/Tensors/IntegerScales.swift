/// The row scales of an integer weight (2, 4 or 8 bits), and the quantization steps of its input and output
/// activations.
///
/// y = round(round(x, inputStep) · (q · rowScales)ᵀ, outputStep), where round(x, s) = s · clamp(x / s to the nearest
/// integer, −128, 127), ties to even.
///
/// Source: transformers, `integrations/gemma_quant.py`, `QuantizedLinear`, `apply_srq`.
package struct IntegerScales: Sendable {
    /// `[rows]`, f32.
    package let rowScales: Tensor
    /// 0: activations are not quantized.
    package let inputStep, outputStep: Float

    /// - Parameter rowScales: `[rows, 1]` or `[rows]`, of any float type.
    package init(rowScales: Tensor, inputStep: Float = 0, outputStep: Float = 0) {
        self.rowScales = rowScales.widened().reshaped([rowScales.shape.count])
        (self.inputStep, self.outputStep) = (inputStep, outputStep)
    }
}

extension Tensor {
    /// Every element quantized and dequantized: the nearest of −128…127 steps, ties to even. A step of 0 returns the
    /// tensor unchanged.
    package func rounded(toSteps step: Float) -> Tensor {
        step == 0 ? self : mapped { device.kernels.table.round_to_steps($0, $1, step, $2) }
    }
}
