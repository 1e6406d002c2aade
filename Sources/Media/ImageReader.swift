import CImageDecoding
import Foundation

/// Reads PNG and JPEG as Pillow's `exif_transpose` and `convert("RGB")` do, byte for byte, with these differences:
/// transparency is composited over white (the reference's image processor does so; its file loader drops alpha), and
/// 16-bit grey keeps the high byte as every other 16-bit kind does (Pillow clips it at 255, which turns nearly
/// everything white).  A transparent colour (tRNS of grey and RGB) is compared at the file's own bit depth, as the PNG
/// specification says; Pillow compares after reduction to 8 bits.
///
/// Source: Pillow 13.0, `PngImagePlugin.py`, `JpegImagePlugin.py`; transformers, `image_transforms.convert_to_rgb`.
public struct ImageReader: Sendable {
    /// Larger pictures are refused before memory is taken.  The default is where Pillow refuses too: half a gigabyte.
    public static let defaultMaxPixels = 178_956_970

    /// libpng's own limit; a picture of one row may not cost more than its pixels do.
    public static let maxSide = 1_000_000

    public let maxPixels: Int

    public init(maxPixels: Int = ImageReader.defaultMaxPixels) {
        self.maxPixels = maxPixels
    }

    public func read(_ file: URL) throws(MediaError) -> Pixels {
        try read(SourceBytes(contentsOf: file))
    }

    /// - Parameter name: what errors call these bytes.
    public func read(_ bytes: Data, name: String = "image") throws(MediaError) -> Pixels {
        try read(SourceBytes(bytes, name: name))
    }

    private func read(_ source: SourceBytes) throws(MediaError) -> Pixels {
        let format = MediaFormat(source.bytes)
        let decoder = try Decoder(source, format)
        let (width, height) = try decoder.size()
        guard max(width, height) <= Self.maxSide, width * height <= maxPixels else {
            throw source.error(
                .tooLarge, expected: "at most \(maxPixels) pixels, \(Self.maxSide) to a side",
                found: "\(width)×\(height)",
                remedy: "scale the picture down")
        }
        let rgb = try decoder.rgb(width: width, height: height)
        let stored = try Pixels(width: width, height: height, rgb: rgb, name: source.name)
        return try Orientation(of: source.bytes, format).applied(to: stored)
    }
}

/// One of the two C decoders, over one source.
private struct Decoder {
    let source: SourceBytes
    let isPNG: Bool

    init(_ source: SourceBytes, _ format: MediaFormat) throws(MediaError) {
        self.source = source
        switch format {
        case .png: isPNG = true
        case .jpeg: isPNG = false
        case .other(let found):
            throw source.error(
                .unsupported, expected: "PNG or JPEG", found: found, remedy: "convert it to PNG or JPEG")
        case .unknown:
            throw source.error(
                source.bytes.isEmpty ? .empty : .unsupported, expected: "PNG or JPEG",
                found: source.bytes.isEmpty ? "no bytes" : "neither (a picture is known by its first bytes)",
                remedy: "give a picture, or convert it to PNG or JPEG")
        }
    }

    func size() throws(MediaError) -> (width: Int, height: Int) {
        let readSize = isPNG ? png_read_size : jpeg_read_size
        var (width, height): (UInt32, UInt32) = (0, 0)
        try check { readSize($0.baseAddress, $0.count, &width, &height, $1) }
        return (Int(width), Int(height))
    }

    /// - Parameters: what `size` returned.
    func rgb(width: Int, height: Int) throws(MediaError) -> [UInt8] {
        let readRGB = isPNG ? png_read_rgb : jpeg_read_rgb
        var failure: MediaError?
        let rgb = [UInt8](unsafeUninitializedCapacity: width * height * 3) { rgb, count in
            do throws(MediaError) {
                try check { readRGB($0.baseAddress, $0.count, UInt32(width), UInt32(height), rgb.baseAddress, $1) }
                count = width * height * 3
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return rgb
    }

    private func check(
        _ call: (UnsafeBufferPointer<UInt8>, UnsafeMutablePointer<CChar>?) -> image_status
    ) throws(MediaError) {
        var message = [CChar](repeating: 0, count: Int(image_message_size))
        let status = source.bytes.withUnsafeBytes { bytes in call(bytes.bindMemory(to: UInt8.self), &message) }
        let code: MediaError.Code? =
            switch status {
            case image_ok: nil
            case image_truncated: .truncated
            case image_unsupported: .unsupported
            case image_out_of_memory: .outOfMemory
            default: .malformed
            }
        guard let code else { return }
        let reason = String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        throw source.error(
            code, expected: "a whole \(isPNG ? "PNG" : "JPEG") file", found: reason,
            remedy: "export or download the picture again")
    }
}
