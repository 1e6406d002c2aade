/// A picture: 8-bit sRGB, upright, opaque.
public struct Pixels: Equatable, Sendable {
    public let width: Int
    public let height: Int
    /// `[height, width, 3]`, row-major, red first.
    public let rgb: [UInt8]

    public init(width: Int, height: Int, rgb: [UInt8]) {
        precondition(
            rgb.count == width * height * 3,
            "\(width)×\(height) pixels need \(width * height * 3) bytes, got \(rgb.count)")
        self.width = width
        self.height = height
        self.rgb = rgb
    }
}
