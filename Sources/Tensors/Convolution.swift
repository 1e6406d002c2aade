/// Convolutions over time, channels fastest. Weights come with channels fastest too, so that what one output needs is
/// a few contiguous runs.
extension Tensor {
    /// The mean of every `side` × `side` square of a grid: `[rows · gridColumns, width]` in raster order to
    /// `[rows/side · gridColumns/side, width]`. `side` divides both sides of the grid.
    public func averagePooled(gridColumns: Int, side: Int) -> Tensor {
        let (width, gridRows) = (columns, rows / gridColumns)
        precondition(
            gridRows * gridColumns == rows && gridColumns % side == 0 && gridRows % side == 0,
            "averagePooled: squares of \(side) in \(shape), \(gridColumns) columns")
        let pooledColumns = gridColumns / side
        let result = Tensor(uninitialized: [gridRows / side * pooledColumns, width], on: device)
        let (out, x, kernels) = (result.mutableFloats, floats, device.kernels.table)
        device.threads.parallelFor(result.rows, grain: 8) { range in
            for square in range {
                let (row, column) = square.quotientAndRemainder(dividingBy: pooledColumns)
                let (sum, corner) = (out + square * width, x + (row * gridColumns + column) * side * width)
                sum.update(from: corner, count: width)
                for cell in 1..<side * side {
                    kernels.add(sum, sum, corner + (cell / side * gridColumns + cell % side) * width, width)
                }
                kernels.scale(sum, sum, 1 / Float(side * side), width)
            }
        }
        return result
    }

    /// 3 × 3 convolution of stride 2 along time and frequency, zeros beyond the edges: `[time, frequency, channels]` to
    /// `[⌈time/2⌉, ⌈frequency/2⌉, rows of the weight]`.
    ///
    /// A strip of output times at a time is unrolled to one row per output, which OpenBLAS multiplies.
    ///
    /// - Parameter weight: `[output channels, 3 (time) · 3 (frequency) · channels]`, f32.
    public func halvingConvolution(_ weight: Tensor) -> Tensor {
        let (times, frequencies, channels) = (shape[0], shape[1], shape[2])
        let (outTimes, outFrequencies, outChannels) = ((times + 1) / 2, (frequencies + 1) / 2, weight.rows)
        precondition(weight.columns == 9 * channels, "halvingConvolution: weight \(weight.shape) for \(shape)")
        let result = Tensor(uninitialized: [outTimes, outFrequencies, outChannels], on: device)
        let (out, x, w) = (result.mutableFloats, floats, weight.floats)
        let strip = 8, taps = 9 * channels
        device.threads.parallelFor(outTimes, grain: strip) { range in
            device.withScratch(range.count * outFrequencies * taps) { unrolled in
                var target = unrolled
                for time in range {
                    for frequency in 0..<outFrequencies {
                        // Taps left and right of the edges are zero; those between are neighbours in memory.
                        let (first, end) = (2 * frequency - 1, 2 * frequency + 2)
                        let inside = max(0, first)..<min(frequencies, end)
                        for sourceTime in 2 * time - 1...2 * time + 1 {
                            if sourceTime < 0 || sourceTime >= times {
                                target.update(repeating: 0, count: 3 * channels)
                            } else {
                                target.update(repeating: 0, count: (inside.lowerBound - first) * channels)
                                (target + (inside.lowerBound - first) * channels).update(
                                    from: x + (sourceTime * frequencies + inside.lowerBound) * channels, count: inside.count * channels)
                                (target + (inside.upperBound - first) * channels).update(
                                    repeating: 0, count: (end - inside.upperBound) * channels)
                            }
                            target += 3 * channels
                        }
                    }
                }
                BLAS.product(
                    out + range.lowerBound * outFrequencies * outChannels, outStride: outChannels, w, weightStride: taps,
                    unrolled, xStride: taps, tokens: range.count * outFrequencies, rows: outChannels, columns: taps)
            }
        }
        return result
    }

    /// Causal convolution of every channel on its own: out[t, c] = Σ_j weight[j, c] · self[t − (k − 1) + j, c], zeros
    /// before the start. `[time, channels]` to the same shape.
    ///
    /// - Parameter weight: `[k, channels]`, f32.
    public func causalDepthwiseConvolution(_ weight: Tensor) -> Tensor {
        let (size, channels) = (weight.shape[0], columns)
        precondition(weight.shape == [size, channels], "causalDepthwiseConvolution: weight \(weight.shape) for \(shape)")
        let result = Tensor(uninitialized: shape, on: device)
        let (out, x, w, kernels) = (result.mutableFloats, floats, weight.floats, device.kernels.table)
        device.threads.parallelFor(rows, grain: 16) { range in
            for time in range {
                let sum = out + time * channels
                kernels.multiply(sum, x + time * channels, w + (size - 1) * channels, channels)
                for back in 1..<max(1, min(size, time + 1)) {
                    kernels.multiply_add(sum, x + (time - back) * channels, w + (size - 1 - back) * channels, channels)
                }
            }
        }
        return result
    }
}
