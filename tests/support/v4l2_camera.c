/* Two webcams for tests, between a process and the kernel: load it with LD_PRELOAD.
 *
 * /dev/video93  "Double Camera": Motion JPEG and YUYV in sizes of their own. Its pictures are YUYV of one grey, whose
 *               value is the width in tens of pixels, or the file that DOUBLE_CAMERA_JPEG names.
 * /dev/video94  its other device file, for metadata.
 * /dev/video95  "Scaling Camera": NV12 in any size and rate within limits. It cannot stream.
 * /dev/video96  fails when it is opened, with the error number in DOUBLE_CAMERA_ERROR.
 *
 * While the file exists that DOUBLE_CAMERA_UNPLUGGED names, none of them is there. A device that was open then is lost.
 *
 * The numbers and structures are those of the kernel's own header, not of the program under test.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { FILES = 1024, BUFFERS = 32, ROOM = 2 * 1280 * 720, LOST = -1 };

static const struct { __u32 format; __u32 width, height, rates[3]; } MODES[] = {
    {V4L2_PIX_FMT_MJPEG, 1280, 720, {30, 15}}, {V4L2_PIX_FMT_MJPEG, 640, 480, {30, 15}},
    {V4L2_PIX_FMT_YUYV, 640, 480, {30, 15}},   {V4L2_PIX_FMT_YUYV, 320, 240, {30, 15}},
    {V4L2_PIX_FMT_YUYV, 1280, 720, {10}},
};
enum { MODE_COUNT = sizeof MODES / sizeof *MODES };

static int camera_of[FILES]; /* 93 to 95, LOST, or 0 for other files */
static struct v4l2_pix_format picture = {.width = 640, .height = 480, .pixelformat = V4L2_PIX_FMT_YUYV};
static struct v4l2_fract interval = {1, 30};
static unsigned queue[BUFFERS], queued, taken;

static int fail(int number) { errno = number; return -1; }

static int is_unplugged(void)
{
    const char *path = getenv("DOUBLE_CAMERA_UNPLUGGED");
    return path && access(path, F_OK) == 0;
}

static int open_double(const char *path, int *file)
{
    int number = 0;
    if (sscanf(path, "/dev/video%d", &number) != 1 || number < 93 || number > 96)
        return 0;
    if (is_unplugged()) {
        *file = fail(ENODEV);
        return 1;
    }
    if (number == 96) {
        *file = fail(atoi(getenv("DOUBLE_CAMERA_ERROR")));
        return 1;
    }
    *file = memfd_create("camera", 0);
    if (*file < 0 || *file >= FILES || ftruncate(*file, (off_t)BUFFERS * ROOM))
        abort();
    camera_of[*file] = number;
    return 1;
}

#define OPEN(NAME)                                                       \
    int NAME(const char *path, int flags, ...)                          \
    {                                                                    \
        int file;                                                        \
        va_list list;                                                    \
        va_start(list, flags);                                           \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
        va_end(list);                                                    \
        if (open_double(path, &file))                                    \
            return file;                                                 \
        int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, #NAME);   \
        file = next(path, flags, mode);                                  \
        if (file >= 0 && file < FILES)                                   \
            camera_of[file] = 0;                                         \
        return file;                                                     \
    }
OPEN(open)
OPEN(open64)

static int formats(int camera, struct v4l2_fmtdesc *d)
{
    static const __u32 CODES[] = {V4L2_PIX_FMT_MJPEG, V4L2_PIX_FMT_YUYV};
    if (d->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || d->index >= (camera == 93 ? 2 : 1))
        return fail(EINVAL);
    d->pixelformat = camera == 93 ? CODES[d->index] : V4L2_PIX_FMT_NV12;
    return 0;
}

static int sizes(int camera, struct v4l2_frmsizeenum *s)
{
    if (camera == 95) {
        if (s->index || s->pixel_format != V4L2_PIX_FMT_NV12)
            return fail(EINVAL);
        s->type = V4L2_FRMSIZE_TYPE_STEPWISE;
        s->stepwise = (struct v4l2_frmsize_stepwise){64, 1920, 16, 48, 1080, 4};
        return 0;
    }
    __u32 index = s->index;
    for (int i = 0; i < MODE_COUNT; i++)
        if (MODES[i].format == s->pixel_format && index-- == 0) {
            s->type = V4L2_FRMSIZE_TYPE_DISCRETE;
            s->discrete = (struct v4l2_frmsize_discrete){MODES[i].width, MODES[i].height};
            return 0;
        }
    return fail(EINVAL);
}

static int intervals(int camera, struct v4l2_frmivalenum *v)
{
    if (camera == 95) {
        if (v->index || v->width != 1920 || v->height != 1080)
            return fail(EINVAL);
        v->type = V4L2_FRMIVAL_TYPE_CONTINUOUS;
        v->stepwise = (struct v4l2_frmival_stepwise){{1001, 60000}, {1, 1}, {1, 1}};
        return 0;
    }
    for (int i = 0; i < MODE_COUNT; i++)
        if (MODES[i].format == v->pixel_format && MODES[i].width == v->width && MODES[i].height == v->height) {
            if (v->index > 2 || !MODES[i].rates[v->index])
                return fail(EINVAL);
            v->type = V4L2_FRMIVAL_TYPE_DISCRETE;
            v->discrete = (struct v4l2_fract){1, MODES[i].rates[v->index]};
            return 0;
        }
    return fail(EINVAL);
}

static int set_format(struct v4l2_format *f) /* what it cannot do it changes without a word, as drivers do */
{
    const struct v4l2_pix_format *asked = &f->fmt.pix;
    __u32 format = asked->pixelformat == V4L2_PIX_FMT_MJPEG ? V4L2_PIX_FMT_MJPEG : V4L2_PIX_FMT_YUYV;
    int best = -1;
    for (int i = 0; i < MODE_COUNT; i++)
        if (MODES[i].format == format
            && (best < 0 || (MODES[i].width == asked->width && MODES[i].height == asked->height)))
            best = i;
    picture = (struct v4l2_pix_format){
        .width = MODES[best].width, .height = MODES[best].height, .pixelformat = format, .field = V4L2_FIELD_NONE};
    picture.bytesperline = format == V4L2_PIX_FMT_YUYV ? 2 * picture.width : 0;
    picture.sizeimage = 2 * picture.width * picture.height;
    f->fmt.pix = picture;
    return 0;
}

static int take_picture(int file, struct v4l2_buffer *b)
{
    if (queued == taken)
        return fail(EIO);
    struct timespec wait = {0, (long)(1e9 * interval.numerator / interval.denominator) - 1000};
    nanosleep(&wait, NULL);
    b->index = queue[taken++ % BUFFERS];
    static char bytes[ROOM];
    b->bytesused = 2 * picture.width * picture.height;
    memset(bytes, (int)picture.width / 10, b->bytesused);
    if (picture.pixelformat == V4L2_PIX_FMT_MJPEG) {
        FILE *jpeg = fopen(getenv("DOUBLE_CAMERA_JPEG"), "rb");
        b->bytesused = (__u32)fread(bytes, 1, sizeof bytes, jpeg);
        fclose(jpeg);
    }
    if (pwrite(file, bytes, b->bytesused, (off_t)b->index * ROOM) < 0)
        abort();
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    b->timestamp = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    b->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    return 0;
}

static int answer(int camera, int file, unsigned long request, void *a)
{
    struct v4l2_capability *c = a;
    struct v4l2_streamparm *p = a;
    struct v4l2_requestbuffers *r = a;
    struct v4l2_buffer *b = a;
    if (is_unplugged())
        camera_of[file] = LOST;
    if (camera_of[file] == LOST)
        return fail(ENODEV);
    switch (request) {
    case VIDIOC_QUERYCAP:
        *c = (struct v4l2_capability){.driver = "double", .bus_info = "usb-1"};
        strcpy((char *)c->card, camera == 95 ? "Scaling Camera" : "Double Camera");
        c->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_META_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_DEVICE_CAPS;
        c->device_caps = V4L2_CAP_STREAMING | (camera == 94 ? V4L2_CAP_META_CAPTURE : V4L2_CAP_VIDEO_CAPTURE);
        return 0;
    case VIDIOC_ENUM_FMT: return camera == 94 ? fail(EINVAL) : formats(camera, a);
    case VIDIOC_ENUM_FRAMESIZES: return camera == 94 ? fail(EINVAL) : sizes(camera, a);
    case VIDIOC_ENUM_FRAMEINTERVALS: return camera == 94 ? fail(EINVAL) : intervals(camera, a);
    }
    if (camera != 93)
        return fail(EBUSY);
    switch (request) {
    case VIDIOC_G_INPUT: *(int *)a = 0; return 0;
    case VIDIOC_ENUMINPUT: return ((struct v4l2_input *)a)->index ? fail(EINVAL) : 0;
    case VIDIOC_G_FMT: ((struct v4l2_format *)a)->fmt.pix = picture; return 0;
    case VIDIOC_S_FMT: return set_format(a);
    case VIDIOC_S_PARM: interval = p->parm.capture.timeperframe; /* fall through */
    case VIDIOC_G_PARM:
        p->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        p->parm.capture.timeperframe = interval;
        return 0;
    case VIDIOC_REQBUFS: r->count = r->count > BUFFERS ? BUFFERS : r->count; queued = taken = 0; return 0;
    case VIDIOC_QUERYBUF: b->length = ROOM; b->m.offset = b->index * ROOM; return 0;
    case VIDIOC_QBUF: queue[queued++ % BUFFERS] = b->index; return 0;
    case VIDIOC_DQBUF: return take_picture(file, b);
    case VIDIOC_STREAMON: case VIDIOC_STREAMOFF: return 0;
    }
    return fail(ENOTTY);
}

int ioctl(int file, unsigned long request, ...)
{
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    if (file >= 0 && file < FILES && camera_of[file])
        return answer(camera_of[file], file, request & 0xffffffff, argument);
    int (*next)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    return next(file, request, argument);
}

int close(int file)
{
    if (file >= 0 && file < FILES)
        camera_of[file] = 0;
    int (*next)(int) = dlsym(RTLD_NEXT, "close");
    return next(file);
}
