// ROS's image_geometry reads a CameraInfo and projects points, so that a test can see whether it agrees with us.
//
// Input: width height model, count and D, K, R, P; then points x y z in the rectified camera's frame, in metres.
// Output: a line per point: its pixel in the rectified picture, its pixel in the raw one, and the first of them again,
// got back from the second.
#include <image_geometry/pinhole_camera_model.h>

#include <iostream>

int main() {
    sensor_msgs::CameraInfo info;
    std::size_t count = 0;
    std::cin >> info.width >> info.height >> info.distortion_model >> count;
    info.D.resize(count);
    for (auto& value : info.D) std::cin >> value;
    for (auto& value : info.K) std::cin >> value;
    for (auto& value : info.R) std::cin >> value;
    for (auto& value : info.P) std::cin >> value;
    image_geometry::PinholeCameraModel camera;
    camera.fromCameraInfo(info);
    std::cout.precision(12);
    try {
        for (cv::Point3d point; std::cin >> point.x >> point.y >> point.z;) {
            const auto rectified = camera.project3dToPixel(point);
            const auto raw = camera.unrectifyPoint(rectified);
            const auto back = camera.rectifyPoint(raw);
            for (const auto& pixel : {rectified, raw, back}) std::cout << pixel.x << ' ' << pixel.y << ' ';
            std::cout << '\n';
        }
    } catch (const image_geometry::Exception& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
