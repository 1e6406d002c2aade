/// Convolutions over time, with channels as the last axis. Weights have channels last too, so that the inputs of one
/// output are a few contiguous ranges.
extension Tensor {
    /// Average pooling of every `side` × `side` square of a grid: `[rows · gridColumns, width]` in raster order to
    /// `[rows/side · gridColumns/side, width]`. Both sides of the grid are multiples of `side`.
    package func averagePooled(gridColumns: Int, side: Int) -> Tensor {
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

    /// 3 × 3 convolution of stride 2 along time and frequency, zero-padded: `[time, frequency, channels]` to
    /// `[⌈time/2⌉, ⌈frequency/2⌉, rows of the weight]`.
    ///
    /// im2col in strips of 8 output times: one row of taps per output.
    ///
    /// - Parameter weight: `[output channels, 3 (time) · 3 (frequency) · channels]`, f32.
    package func halvingConvolution(_ weight: Tensor) -> Tensor {
        let outFrequencies = (shape[1] + 1) / 2
        let (taps, outChannels) = (9 * shape[2], weight.rows)
        precondition(weight.shape == [outChannels, taps], "halvingConvolution: weight \(weight.shape) for \(shape)")
        let result = Tensor(uninitialized: [(shape[0] + 1) / 2, outFrequencies, outChannels], on: device)
        let out = result.mutableFloats
        device.threads.parallelFor(result.shape[0], grain: 8) { times in
            let (first, count) = (times.lowerBound * outFrequencies, times.count * outFrequencies)
            device.withScratch(count * taps) { unrolled in
                for row in 0..<count {
                    let (time, frequency) = (first + row).quotientAndRemainder(dividingBy: outFrequencies)
                    copyTaps(around: 2 * time, 2 * frequency, to: unrolled + row * taps)
                }
                PanelProduct(tokens: count, weight, threads: 1).run(unrolled, into: out + first * outChannels)
            }
        }
        return result
    }

    /// The 3 × 3 neighbors of one position, zero-padded: `[3, 3, channels]`. Neighbors in frequency are contiguous in
    /// memory.
    private func copyTaps(around time: Int, _ frequency: Int, to taps: UnsafeMutablePointer<Float>) {
        let (times, frequencies, channels) = (shape[0], shape[1], shape[2])
        let inside = max(0, frequency - 1)..<min(frequencies, frequency + 2)
        let skipped = (inside.lowerBound - (frequency - 1)) * channels
        for (row, source) in (time - 1...time + 1).enumerated() {
            let target = taps + row * 3 * channels
            if inside.count < 3 || source < 0 || source >= times { target.update(repeating: 0, count: 3 * channels) }
            if source >= 0 && source < times {
                let run = floats + (source * frequencies + inside.lowerBound) * channels
                (target + skipped).update(from: run, count: inside.count * channels)
            }
        }
    }

    /// Causal depthwise convolution: out[t, c] = Σ_j weight[j, c] · self[t − (k − 1) + j, c], zeros before the start.
    /// `[time, channels]` to the same shape.
    ///
    /// - Parameter weight: `[k, channels]`, f32.
    package func causalDepthwiseConvolution(_ weight: Tensor) -> Tensor {
        let (size, channels) = (weight.shape[0], columns)
        precondition(weight.columns == channels, "causalDepthwiseConvolution: weight \(weight.shape) for \(shape)")
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
