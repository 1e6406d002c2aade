import Foundation

/// Magnitudes of the discrete Fourier transform of real input, in 64-bit.
///
/// The `size` real values are treated as `size / 2` complex ones, transformed in place (decimation in time), and
/// separated into the transforms of the even and odd samples.
struct RealFourierTransform: Sendable {
    /// A power of two, at least 4.
    let size: Int
    /// The bit-reversed input order of the complex transform.
    private let reversed: [Int]
    /// exp(-2πik / size) for k < size / 2.
    private let cosine, sine: [Double]

    init(size: Int) {
        precondition(size >= 4 && size.nonzeroBitCount == 1, "size \(size) is not a power of two >= 4")
        self.size = size
        let bits = (size / 2).trailingZeroBitCount
        reversed = (0..<size / 2).map { index in
            (0..<bits).reduce(0) { $0 | (index >> $1 & 1) << (bits - 1 - $1) }
        }
        cosine = (0..<size / 2).map { cos(2 * Double.pi * Double($0) / Double(size)) }
        sine = (0..<size / 2).map { -sin(2 * Double.pi * Double($0) / Double(size)) }
    }

    /// |X[k]| for k = 0...size/2.
    func magnitudes(of input: [Double]) -> [Double] {
        precondition(input.count == size, "\(input.count) values for a transform of \(size)")
        let half = size / 2
        var real = reversed.map { input[2 * $0] }
        var imaginary = reversed.map { input[2 * $0 + 1] }
        transform(&real, &imaginary)
        return (0...half).map { k in
            // With Z the complex transform: X[k] = even + exp(-2πik/size) * odd,
            // even = (Z[k] + conj Z[half-k]) / 2, odd = (Z[k] - conj Z[half-k]) / 2i.
            let (a, b) = (k % half, (half - k) % half)
            let even = (real: (real[a] + real[b]) / 2, imaginary: (imaginary[a] - imaginary[b]) / 2)
            let odd = (real: (imaginary[a] + imaginary[b]) / 2, imaginary: (real[b] - real[a]) / 2)
            let (c, s) = k == half ? (-1, 0) : (cosine[k], sine[k])
            let x = even.real + c * odd.real - s * odd.imaginary
            let y = even.imaginary + c * odd.imaginary + s * odd.real
            return (x * x + y * y).squareRoot()
        }
    }

    /// In place, from bit-reversed to natural order.
    private func transform(_ real: inout [Double], _ imaginary: inout [Double]) {
        var length = 1  // of the completed transforms
        while length < size / 2 {
            let step = size / (2 * length)  // between roots of unity of the current transforms
            for start in stride(from: 0, to: size / 2, by: 2 * length) {
                for k in 0..<length {
                    let (i, j) = (start + k, start + k + length)
                    let (c, s) = (cosine[k * step], sine[k * step])
                    let x = real[j] * c - imaginary[j] * s
                    let y = real[j] * s + imaginary[j] * c
                    (real[j], imaginary[j]) = (real[i] - x, imaginary[i] - y)
                    (real[i], imaginary[i]) = (real[i] + x, imaginary[i] + y)
                }
            }
            length *= 2
        }
    }
}
