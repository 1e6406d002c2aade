extension Tensor {
    /// Rotates every head of `[rows, heads, size]` in the half-split layout: the pairs (k, k + size/2) of row t by
    /// the angles whose cosines and sines are row t of `[rows, size/2]`. With tables of `[rows, parts, size/parts/2]`
    /// each of the `parts` equal parts of a head is rotated separately.
    package func rotated(cosines: Tensor, sines: Tensor) -> Tensor {
        let (count, heads, size) = (shape[0], shape[1], shape[2])
        let parts = cosines.shape.rank == 3 ? cosines.shape[1] : 1
        let half = size / parts / 2
        precondition(
            cosines.shape[0] == count && cosines.shape.count == count * parts * half && sines.shape == cosines.shape,
            "rotated: cosines \(cosines.shape), sines \(sines.shape) for \(shape)")
        let result = Tensor(uninitialized: shape, on: device)
        let (out, x, cosine, sine) = (result.mutableFloats, floats, cosines.floats, sines.floats)
        device.threads.parallelFor(count, grain: 8) { range in
            for row in range {
                let first = row * heads * size
                (out + first).update(from: x + first, count: heads * size)
                for head in 0..<heads {
                    for part in 0..<parts {
                        let angles = (row * parts + part) * half
                        device.kernels.table.rotate(
                            out + first + head * size + part * 2 * half, cosine + angles, sine + angles, half)
                    }
                }
            }
        }
        return result
    }
}
