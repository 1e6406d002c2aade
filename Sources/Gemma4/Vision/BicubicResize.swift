/// Antialiased bicubic resize of 8-bit RGB, bit-identical to torchvision's (`v2.functional.resize`, uint8).
///
/// Two passes, first along rows, then along columns, each rounded and clamped to a byte; an axis that keeps its size
/// is skipped. Weights are 16-bit integers, so the sums are exact and the order of additions does not matter.
///
/// Source: PyTorch 2.13, `aten/src/ATen/native/cpu/UpSampleKernel.cpp`, the int16 weights of the uint8 path.
enum BicubicResize {
    /// - Parameter rgb: `[height, width, 3]`.
    /// - Returns: `[newHeight, newWidth, 3]`.
    static func resize(_ rgb: [UInt8], width: Int, height: Int, to newWidth: Int, _ newHeight: Int) -> [UInt8] {
        precondition(rgb.count == width * height * 3, "\(rgb.count) bytes for \(width)×\(height) RGB")
        let wide =
            width == newWidth ? rgb : resizeRows(rgb, Taps(from: width, to: newWidth), rows: height, width: width)
        return height == newHeight ? wide : resizeColumns(wide, Taps(from: height, to: newHeight), stride: newWidth * 3)
    }

    private static func resizeRows(_ rgb: [UInt8], _ taps: Taps, rows: Int, width: Int) -> [UInt8] {
        var resized = [UInt8](repeating: 0, count: rows * taps.count * 3)
        let (source, weights, shift) = (rgb.span, taps.weights.span, taps.precision)
        var target = resized.mutableSpan
        for row in 0..<rows {
            let line = source.extracting(row * width * 3..<(row + 1) * width * 3)
            for x in 0..<taps.count {
                var (red, green, blue) = (taps.half, taps.half, taps.half)
                var pixel = taps.first[x] * 3
                for tap in taps.offsets[x]..<taps.offsets[x + 1] {
                    let weight = Int32(weights[tap])
                    red &+= weight &* Int32(line[pixel])
                    green &+= weight &* Int32(line[pixel + 1])
                    blue &+= weight &* Int32(line[pixel + 2])
                    pixel += 3
                }
                let place = (row * taps.count + x) * 3
                target[place] = UInt8(clamping: red >> shift)
                target[place + 1] = UInt8(clamping: green >> shift)
                target[place + 2] = UInt8(clamping: blue >> shift)
            }
        }
        return resized
    }

    private static func resizeColumns(_ rgb: [UInt8], _ taps: Taps, stride: Int) -> [UInt8] {
        var resized = [UInt8](repeating: 0, count: taps.count * stride)
        var sums = [Int32](repeating: 0, count: stride)
        for y in 0..<taps.count {
            for column in sums.indices { sums[column] = taps.half }
            for tap in taps.offsets[y]..<taps.offsets[y + 1] {
                let row = taps.first[y] + tap - taps.offsets[y]
                accumulate(
                    rgb.span.extracting(row * stride..<(row + 1) * stride), times: taps.weights[tap], into: &sums)
            }
            for column in 0..<stride { resized[y * stride + column] = UInt8(clamping: sums[column] >> taps.precision) }
        }
        return resized
    }

    private static func accumulate(_ row: Span<UInt8>, times weight: Int16, into sums: inout [Int32]) {
        var sums = sums.mutableSpan
        precondition(row.count == sums.count)
        for column in 0..<sums.count { sums[column] &+= Int32(weight) &* Int32(row[column]) }
    }
}

/// For each output pixel of one axis, the input pixels that it sums and their weights.
private struct Taps {
    let count: Int
    /// The first input pixel of each output pixel.
    private(set) var first: [Int] = []
    /// The weights of output pixel `o` are `weights[offsets[o]..<offsets[o + 1]]`.
    private(set) var offsets = [0]
    /// Fixed point with `precision` fractional bits: the most, up to 22, with which the largest weight fits into 16
    /// bits.
    let weights: [Int16]
    let precision: Int32
    /// One half at this precision, to round to nearest.
    let half: Int32

    init(from input: Int, to output: Int) {
        let ratio = Double(input) / Double(output)
        let inverse = ratio >= 1 ? 1 / ratio : 1  // antialiasing: downscaling widens the kernel
        let support = 2 * max(ratio, 1)
        var exact: [Double] = []
        for place in 0..<output {
            let center = ratio * (Double(place) + 0.5)
            let low = max(Int(center - support + 0.5), 0)
            let high = min(Int(center + support + 0.5), input)
            let kernel = (low..<high).map { Self.cubic((Double($0) - center + 0.5) * inverse) }
            let total = kernel.reduce(0, +)
            first.append(low)
            exact += kernel.map { $0 / total }
            offsets.append(exact.count)
        }
        let largest = exact.max() ?? 1
        var precision = 0
        while precision < 22, Int(0.5 + largest * Double(1 << (precision + 1))) < 1 << 15 { precision += 1 }
        let scale = Double(1 << precision)
        weights = exact.map { Int16($0 * scale + ($0 < 0 ? -0.5 : 0.5)) }
        self.count = output
        self.precision = Int32(precision)
        half = 1 << Int32(precision - 1)
    }

    /// Keys' cubic convolution with a = -0.5.
    private static func cubic(_ x: Double) -> Double {
        let (a, t) = (-0.5, abs(x))
        if t < 1 { return ((a + 2) * t - (a + 3)) * t * t + 1 }
        if t < 2 { return (((t - 5) * t + 8) * t - 4) * a }
        return 0
    }
}
