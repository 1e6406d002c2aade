import CKernels

extension Tensor {
    /// Attention of every position to itself and the few before it, with keys for the distance between them:
    ///
    ///     score[t, s] = cap · tanh((q[t] · k[s] + q[t] · r[t − s]) / cap),  0 ≤ t − s < window
    ///     out[t] = Σ_s softmax(score[t])[s] · v[s]
    ///
    /// for each head; scores are not scaled.
    ///
    /// - Parameters:
    ///   - keys, values: `[positions, heads, size]`, as `self`.
    ///   - relativeKeys: `[window, heads, size]`, the farthest distance, window − 1, first.
    /// - Returns: `[positions, heads, size]`.
    package func bandAttending(keys: Tensor, values: Tensor, relativeKeys: Tensor, cap: Float) -> Tensor {
        let (count, heads, size, window) = (shape[0], shape[1], shape[2], relativeKeys.shape[0])
        precondition(
            keys.shape == shape && values.shape == shape && relativeKeys.shape == [window, heads, size],
            "bandAttending: \(shape) to \(keys.shape), \(values.shape), relative keys \(relativeKeys.shape)")
        let result = Tensor(zeros: shape, on: device)
        let (out, q, k, v, r) = (result.mutableFloats, floats, keys.floats, values.floats, relativeKeys.floats)
        let (kernels, width) = (device.kernels.table, heads * size)
        device.threads.parallelFor(count, grain: 8) { range in
            device.withScratch(2 * window) { scores in
                let relative = scores + window
                for t in range {
                    let seen = min(window, t + 1)
                    let first = (t - seen + 1) * width
                    var walk = product_shape(
                        tokens: 1, columns: size, weight_stride: width, x_stride: size, out_stride: seen, first_row: 0,
                        end_row: seen)
                    for head in stride(from: 0, to: width, by: size) {
                        kernels.f32_product(scores, k + first + head, q + t * width + head, &walk)
                        kernels.f32_product(relative, r + (window - seen) * width + head, q + t * width + head, &walk)
                        kernels.add(scores, scores, relative, seen)
                        kernels.soft_cap(scores, scores, cap, seen)
                        let total = kernels.exponentials(scores, scores, kernels.maximum(scores, seen), seen)
                        kernels.scale(scores, scores, 1 / total, seen)
                        kernels.weighted_rows(out + t * width + head, scores, v + first + head, width, seen, size)
                    }
                }
            }
        }
        return result
    }
}
