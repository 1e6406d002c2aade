import Foundation

/// The peak throughput of this machine: the reference for `bench` and `inspect`.
package struct MachineLimits: Sendable {
    /// Memory bandwidth of reads by all threads together, in 10⁹ bytes per second.
    package let readGigabytesPerSecond: Double
    /// f32 multiplications and additions of OpenBLAS on all threads together, in 10⁹ per second.
    package let sgemmGigaflopsPerSecond: Double

    /// The relative speed of the process's first products, if this is measured before any others; see
    /// `firstProductShare`.
    package let firstProductShare: Double

    /// Measures for about half a second, on 256 MB of memory that are freed again.
    ///
    /// - Throws: `BLASMemoryError` if there is not enough address space for OpenBLAS.
    package init(measuring device: Device) throws(BLASMemoryError) {
        try BLAS.prepare(callers: device.threads.count)
        let device = Device(threadCount: device.threads.count, kernels: device.kernels)
        firstProductShare = Self.firstProductShare(on: device)
        readGigabytesPerSecond = Self.readBandwidth(device)
        sgemmGigaflopsPerSecond = Self.sgemmGigaflops(device) / Self.secondsOfSgemm(device).min()!
    }

    /// The faster of two access patterns: one contiguous range per thread, and several rows at once.
    private static func readBandwidth(_ device: Device) -> Double {
        let columns = 4096
        let rows = 16_384
        let grain = 64
        let weight = Tensor(zeros: [rows, columns], on: device)
        let x = Tensor(zeros: [1, columns], on: device)
        let out = Tensor(zeros: [1, rows], on: device)
        let seconds = withExtendedLifetime((weight, x, out)) {
            min(
                fastest(of: 5) {
                    device.threads.parallelFor(rows, grain: grain) { range in
                        let first = range.lowerBound
                        out.mutableFloats[first] = device.kernels.table.maximum(
                            weight.floats + first * columns, range.count * columns)
                    }
                },
                fastest(of: 5) {
                    device.threads.parallelFor(rows, grain: grain) { range in
                        device.kernels.product(out.mutableFloats, weight, x.floats, tokens: 1, rows: range)
                    }
                })
        }
        return Double(rows * columns * 4) / seconds / 1e9
    }

    /// The current throughput of OpenBLAS with nothing shared: every thread multiplies separate matrices. Other
    /// programs may load the machine at one time and not at another; measured for about 50 ms beside a computation,
    /// it tells what the computation could have reached at that time.
    ///
    /// - Throws: `BLASMemoryError` if there is not enough address space for OpenBLAS.
    package static func currentSgemmRate(_ device: Device) throws(BLASMemoryError) -> Double {
        try BLAS.prepare(callers: device.threads.count)
        let seconds = secondsOfSgemm(device)
        return sgemmGigaflops(device) * Double(seconds.count) / seconds.reduce(0, +)
    }

    private static let sgemmSide = 1024

    private static func sgemmGigaflops(_ device: Device) -> Double {
        2 * Double(device.threads.count * sgemmSide * sgemmSide * sgemmSide) / 1e9
    }

    /// The duration of each round in seconds.
    private static func secondsOfSgemm(_ device: Device) -> [Double] {
        let side = sgemmSide
        let operand = Tensor(zeros: [side, side], on: device)
        let results = Tensor(zeros: [device.threads.count, side, side], on: device)
        return withExtendedLifetime((operand, results)) {
            seconds(of: 3) {
                device.threads.parallelFor(device.threads.count) { range in
                    BLAS.product(
                        results.mutableFloats + range.lowerBound * side * side, outStride: side, operand.floats,
                        weightStride: side, operand.floats, xStride: side, tokens: side, rows: side, columns: side)
                }
            }
        }
    }

    /// The speed of products of a tower's shape, 512 × 256 × 768, before a product of 1024³ relative to after it:
    /// about 1, and far less if something in the process has to be warmed up by a large product.
    package static func firstProductShare(on device: Device) -> Double {
        let (small, large) = (Tensor(zeros: [512, 768], on: device), Tensor(zeros: [1024, 1024], on: device))
        func seconds() -> Double { fastest(of: 8) { _ = small.product(small[0..<256]) } }
        let before = seconds()
        _ = large.product(large)
        return seconds() / before
    }

    private static func fastest(of repetitions: Int, _ body: () -> Void) -> Double {
        seconds(of: repetitions, body).min()!
    }

    /// The duration of each round in seconds, after a warm-up round.
    private static func seconds(of repetitions: Int, _ body: () -> Void) -> [Double] {
        let clock = ContinuousClock()
        body()
        return (0..<repetitions).map { _ in clock.measure(body) / .seconds(1) }
    }
}
