/// What the integers of a weight of 2, 4 or 8 bits are multiplied by, and the steps of the activations on both sides of it.
///
/// y = round(round(x, inputStep) · (q · rowScales)ᵀ, outputStep), where round(x, s) = s · the integer of −128…127 nearest to
/// x / s, of two equally near the even one.
///
/// Source: transformers, `integrations/gemma_quant.py`, `QuantizedLinear`, `apply_srq`.
package struct IntegerScales: Sendable {
    /// `[rows]`, f32.
    package let rowScales: Tensor
    /// 0: activations are not rounded.
    package let inputStep, outputStep: Float

    /// - Parameter rowScales: `[rows, 1]` or `[rows]`, of any float type.
    package init(rowScales: Tensor, inputStep: Float = 0, outputStep: Float = 0) {
        self.rowScales = rowScales.widened().reshaped([rowScales.shape.count])
        (self.inputStep, self.outputStep) = (inputStep, outputStep)
    }
}

extension Tensor {
    /// Every element rounded to the nearest of −128…127 steps, of two equally near to the even one; a step of 0 leaves them.
    package func rounded(toSteps step: Float) -> Tensor {
        step == 0 ? self : mapped { device.kernels.table.round_to_steps($0, $1, step, $2) }
    }
}
