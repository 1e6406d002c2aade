/// An image: 8-bit sRGB, upright, opaque.
public struct Pixels: Equatable, Sendable {
    /// Pixels of a row.
    public let width: Int
    /// Rows.
    public let height: Int
    /// `[height, width, 3]`, row-major, red first.
    public let rgb: [UInt8]

    /// - Throws: `MediaError` if `rgb` does not have three bytes for each pixel.
    public init(width: Int, height: Int, rgb: [UInt8], name: String = "image") throws(MediaError) {
        guard width > 0, height > 0, rgb.count.isMultiple(of: 3),
            (rgb.count / 3).quotientAndRemainder(dividingBy: width) == (height, 0)
        else {
            throw MediaError(
                code: .malformed, source: name, expected: "3 bytes for each of \(width)×\(height) pixels",
                found: "\(rgb.count) bytes", remedy: "check the size")
        }
        self.width = width
        self.height = height
        self.rgb = rgb
    }
}
