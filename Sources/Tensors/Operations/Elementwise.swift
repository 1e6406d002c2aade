/// An interval that values are clamped to.
package struct Clamp: Sendable {
    package static let none = Clamp(-.infinity, .infinity)

    package let low, high: Float

    package init(_ low: Float, _ high: Float) { (self.low, self.high) = (low, high) }

    /// Whether it leaves every value unchanged.
    package var isNone: Bool { low == -.infinity && high == .infinity }
}

/// Elements per piece of an elementwise operation.
let elementwiseGrain = 32_768

extension Tensor {
    package static func + (a: Tensor, b: Tensor) -> Tensor {
        a.combined(b) { a.device.kernels.table.add($0, $1, $2, $3) }
    }

    package static func * (a: Tensor, b: Tensor) -> Tensor {
        a.combined(b) { a.device.kernels.table.multiply($0, $1, $2, $3) }
    }

    package static func * (a: Tensor, factor: Float) -> Tensor {
        a.mapped { a.device.kernels.table.scale($0, $1, factor, $2) }
    }

    /// min(max(x, low), high)
    package func clamped(_ low: Float, _ high: Float) -> Tensor {
        mapped { device.kernels.table.clamp($0, $1, low, high, $2) }
    }

    func clamped(_ bounds: Clamp) -> Tensor { bounds.isNone ? self : clamped(bounds.low, bounds.high) }

    /// x · sigmoid(x)
    package func silu() -> Tensor { mapped { device.kernels.table.silu($0, $1, $2) } }

    /// cap · tanh(x / cap)
    package func softCapped(_ cap: Float) -> Tensor { mapped { device.kernels.table.soft_cap($0, $1, cap, $2) } }

    /// GELU(self) ⊙ up, the tanh form of GELU.
    package func geluMultiplied(by up: Tensor) -> Tensor {
        combined(up) { device.kernels.table.gelu_multiply($0, $1, $2, $3) }
    }

    /// Gated linear unit: the first half of each row times the sigmoid of the second half. `[rows, 2n]` to `[rows, n]`.
    package func gatedLinearUnit() -> Tensor {
        let half = columns / 2
        let result = Tensor(uninitialized: [rows, half], on: device)
        let (out, x) = (result.mutableFloats, floats)
        device.threads.parallelFor(rows, grain: 16) { range in
            for row in range {
                let value = x + row * 2 * half
                device.kernels.table.sigmoid_multiply(out + row * half, value, value + half, half)
            }
        }
        return result
    }

    /// self[t, c] + row[c]
    package func adding(row: Tensor) -> Tensor {
        let kernels = device.kernels.table
        return broadcasting(row) { kernels.add($0, $1, $2, $3) }
    }

    /// self[t, c] · row[c]
    package func multiplying(row: Tensor) -> Tensor {
        let kernels = device.kernels.table
        return broadcasting(row) { kernels.multiply($0, $1, $2, $3) }
    }

    private func broadcasting(
        _ row: Tensor, _ kernel: (UnsafeMutablePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, Int) -> Void
    ) -> Tensor {
        precondition(row.shape == [columns], "broadcasting: row \(row.shape) over \(shape)")
        let result = Tensor(uninitialized: shape, on: device)
        let (out, x, vector, columns) = (result.mutableFloats, floats, row.floats, columns)
        device.threads.parallelFor(rows, grain: max(1, elementwiseGrain / max(1, columns))) { range in
            for t in range { kernel(out + t * columns, x + t * columns, vector, columns) }
        }
        return result
    }

    /// Applies `kernel`, (out, x, count), to pieces of this tensor; the result has the same shape.
    func mapped(_ kernel: (UnsafeMutablePointer<Float>, UnsafePointer<Float>, Int) -> Void) -> Tensor {
        let result = Tensor(uninitialized: shape, on: device)
        let (out, x) = (result.mutableFloats, floats)
        device.threads.parallelFor(shape.count, grain: elementwiseGrain) { range in
            kernel(out + range.lowerBound, x + range.lowerBound, range.count)
        }
        return result
    }

    private func combined(
        _ other: Tensor,
        _ kernel: (UnsafeMutablePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, Int) -> Void
    ) -> Tensor {
        precondition(shape == other.shape, "elementwise: \(shape) and \(other.shape)")
        let result = Tensor(uninitialized: shape, on: device)
        let (out, a, b) = (result.mutableFloats, floats, other.floats)
        device.threads.parallelFor(shape.count, grain: elementwiseGrain) { range in
            kernel(out + range.lowerBound, a + range.lowerBound, b + range.lowerBound, range.count)
        }
        return result
    }
}
